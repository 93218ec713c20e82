-- Drop the partition of a day, with every job in it. Safe for every worker to try at once: false where somebody uses it,
-- or has dropped it already.
SELECT pgjobs.drop_history_partition(%(day)s::date)
