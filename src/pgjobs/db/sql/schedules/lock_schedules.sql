-- Schedules as they are, locked until they are changed.
SELECT name, app, cron, tz, paused_at, retired_at, next_at, last_at, digest, statement_timestamp() AS now
FROM pgjobs.schedules
WHERE name = ANY (%(names)s::text[])
ORDER BY name
FOR NO KEY UPDATE
