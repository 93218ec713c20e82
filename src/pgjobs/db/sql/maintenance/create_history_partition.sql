-- Make the partition of a day. Safe for every worker to try at once: false where it is there already.
SELECT pgjobs.create_history_partition(%(day)s::date)
