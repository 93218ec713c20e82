-- Whether there is a schedule that may fire.
SELECT EXISTS (SELECT FROM pgjobs.schedules
               WHERE paused_at IS NULL AND retired_at IS NULL AND next_at IS NOT NULL)
