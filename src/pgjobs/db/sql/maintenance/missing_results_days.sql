-- Today and the next days (UTC) that results have no partition for yet.
SELECT day
FROM (SELECT (now() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, %(ahead)s) AS n) AS wanted
WHERE to_regclass('pgjobs.results_' || to_char(day, 'YYYYMMDD')) IS NULL
ORDER BY day
