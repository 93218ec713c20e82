-- Acknowledge: running → queued (or waiting: what takes turns), later, because the job asked to be run another time. The attempt does not count.
UPDATE pgjobs.jobs AS live
SET status = CASE WHEN live.lane IS NULL THEN 'queued' ELSE 'waiting' END, attempt = greatest(live.attempt - 1, 0), run_at = now() + a.delay * interval '1 second',
    held = CASE WHEN live.lane IS NOT NULL AND a.delay > 0 THEN 'later' END, worker_id = NULL, started_at = NULL
FROM unnest(%(ids)s::bigint[], %(claims)s::int[], %(delays)s::float8[]) AS a (id, claims, delay)
WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
  AND live.status = 'running' AND live.worker_id = %(worker_id)s
RETURNING live.id
