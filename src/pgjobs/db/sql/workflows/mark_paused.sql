-- Steps of this workflow that become free from now on do not start. What became free before this is committed, and is
-- not seen here, is looked for by stale_workflows.sql soon.
UPDATE pgjobs.workflows AS w
SET paused_at = coalesce(w.paused_at, now()), checked_at = now() - interval '1 hour'
WHERE w.id = %(workflow)s AND w.ended_at IS NULL
RETURNING w.id
