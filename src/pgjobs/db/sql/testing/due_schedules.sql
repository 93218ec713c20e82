-- The schedules that are due by the clock of a test, which is `ahead` seconds ahead. See lock_schedule.sql.
SELECT name, cron, tz, missed, overlap, next_at, last_at, last_job_id,
       statement_timestamp() + %(ahead)s::float8 * interval '1 second' AS now,
       columns, options, summary, signature, payload
FROM pgjobs.schedules
WHERE paused_at IS NULL AND retired_at IS NULL
  AND next_at <= statement_timestamp() + %(ahead)s::float8 * interval '1 second'
ORDER BY next_at
