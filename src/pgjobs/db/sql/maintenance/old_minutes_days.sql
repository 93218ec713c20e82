-- The days of minutes that are older than they are kept, the oldest first.
SELECT day
FROM (SELECT CASE WHEN c.relname ~ '^queue_minutes_[0-9]{8}$' THEN to_date(right(c.relname, 8), 'YYYYMMDD') END AS day
      FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'pgjobs.queue_minutes'::regclass) AS days
WHERE day < (now() AT TIME ZONE 'UTC')::date - %(days)s::integer
ORDER BY day
