-- Drop the partition of a day, with every event in it. Safe for every worker to try at once: false if it is in use, or
-- was dropped already.
SELECT pgjobs.drop_events_partition(%(day)s::date)
