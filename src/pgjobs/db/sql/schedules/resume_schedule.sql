-- Resume a schedule, with this firing.
UPDATE pgjobs.schedules SET paused_at = NULL, error = NULL, next_at = %(next_at)s WHERE name = %(schedule)s
