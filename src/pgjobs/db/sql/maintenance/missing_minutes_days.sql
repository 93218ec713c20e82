-- The days (UTC) of minutes that have no partition yet, of today and tomorrow.
SELECT d.day
FROM (SELECT (now() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, 1) AS n) AS d
WHERE to_regclass('pgjobs.queue_minutes_' || to_char(d.day, 'YYYYMMDD')) IS NULL
ORDER BY d.day
