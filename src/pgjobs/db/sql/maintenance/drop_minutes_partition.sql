-- Drop the partition of a day. Safe for every worker to try at once: false if it is in use, or was dropped already.
SELECT pgjobs.drop_minutes_partition(%(day)s::date)
