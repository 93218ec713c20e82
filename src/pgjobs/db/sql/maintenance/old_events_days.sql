-- The days on which all events have expired, the oldest first.
SELECT day
FROM (SELECT CASE WHEN c.relname ~ '^events_[0-9]{8}$' THEN to_date(right(c.relname, 8), 'YYYYMMDD') END AS day
      FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'pgjobs.events'::regclass) AS days
WHERE day < (now() AT TIME ZONE 'UTC')::date
ORDER BY day
