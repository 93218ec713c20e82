-- The history partitions of today and the next days (UTC). Safe for every worker to try at once.
SELECT pgjobs.make_history_partition((now() AT TIME ZONE 'UTC')::date + n) FROM generate_series(0, %(days)s) AS n
