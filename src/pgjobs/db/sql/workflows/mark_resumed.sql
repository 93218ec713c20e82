-- Steps of this workflow start again.
UPDATE pgjobs.workflows AS w SET paused_at = NULL WHERE w.id = %(workflow)s AND w.ended_at IS NULL RETURNING w.id
