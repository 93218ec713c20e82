-- Create the partition of a day. Safe for every worker to try at once: false if it exists already.
SELECT pgjobs.create_minutes_partition(%(day)s::date)
