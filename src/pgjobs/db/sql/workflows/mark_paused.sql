-- Steps of this workflow that become free from now on do not start.
UPDATE pgjobs.workflows AS w SET paused_at = coalesce(w.paused_at, now())
WHERE w.id = %(workflow)s AND w.ended_at IS NULL
RETURNING w.id
