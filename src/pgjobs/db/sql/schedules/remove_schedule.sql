-- Remove an operator's schedule, or one that no code declares any longer.
DELETE FROM pgjobs.schedules WHERE name = %(schedule)s AND (app IS NULL OR retired_at IS NOT NULL) RETURNING name
