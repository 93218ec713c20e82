-- How many schedules there are that may fire, and in how many seconds the next one does.
SELECT count(*), extract(epoch FROM min(next_at) - clock_timestamp())::float8
FROM pgjobs.schedules
WHERE paused_at IS NULL AND retired_at IS NULL AND next_at IS NOT NULL
