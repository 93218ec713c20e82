-- Drop the partition of a day, with every job in it. Safe for every worker to try at once: false if it is in use, or
-- was dropped already.
SELECT pgjobs.drop_history_partition(%(day)s::date)
