-- Claimed → waiting, because its task is paused. The attempt does not count. The pause is locked: who ends it waits, and
-- then sees what was parked. Where it has ended, nothing is parked, and the job is handed back.
-- What was asked to be cancelled is left: see cancel.sql.
WITH paused AS MATERIALIZED (
    SELECT p.task FROM pgjobs.paused_tasks AS p WHERE p.task = ANY (%(tasks)s::text[]) ORDER BY p.task FOR KEY SHARE
)
UPDATE pgjobs.jobs AS live
SET status = 'waiting', held = 'task', attempt = greatest(live.attempt - 1, 0), worker_id = NULL, started_at = NULL
FROM unnest(%(ids)s::bigint[], %(claims)s::int[], %(tasks)s::text[]) AS a (id, claims, task)
WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
  AND live.status = 'running' AND live.worker_id = %(worker_id)s
  AND live.cancel_reason IS NULL
  AND a.task = ANY (ARRAY (SELECT p.task FROM paused AS p))
RETURNING live.id, false AS controlled
