-- Acknowledge: running → queued, later, because the job asked to be run another time. The attempt does not count.
UPDATE pgjobs.jobs_live AS live
SET status = 'queued', attempt = live.attempt - 1, run_at = now() + a.delay * interval '1 second',
    worker_id = NULL, started_at = NULL
FROM unnest(%(ids)s::bigint[], %(attempts)s::int[], %(delays)s::float8[]) AS a (id, attempt, delay)
WHERE live.id = a.id AND live.attempt = a.attempt
  AND live.status = 'running' AND live.worker_id = %(worker_id)s
RETURNING live.id
