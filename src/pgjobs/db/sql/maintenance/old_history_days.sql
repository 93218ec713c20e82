-- The days of history that ended more than a number of days ago, the oldest first.
SELECT day
FROM (SELECT CASE WHEN c.relname ~ '^jobs_history_[0-9]{8}$' THEN to_date(right(c.relname, 8), 'YYYYMMDD') END AS day
      FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'pgjobs.jobs_history'::regclass) AS days
WHERE day < (now() AT TIME ZONE 'UTC')::date - %(days)s::int
ORDER BY day
