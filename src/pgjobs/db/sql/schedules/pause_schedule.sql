-- Pause a schedule: it enqueues nothing until it is resumed.
UPDATE pgjobs.schedules SET paused_at = now() WHERE name = %(schedule)s AND paused_at IS NULL RETURNING name
