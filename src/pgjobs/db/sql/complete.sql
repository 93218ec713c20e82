-- Acknowledge: running → completed, for a whole flush. The rows move from the live partition into history.
-- Worker and claim are the fence: a worker that was thought dead can not overwrite what came after.
WITH done AS (
    DELETE FROM pgjobs.jobs_live AS live
    USING unnest(%(ids)s::bigint[], %(claims)s::int[]) AS a (id, claims)
    WHERE live.id = a.id AND live.claims = a.claims
      AND live.status = 'running' AND live.worker_id = %(worker_id)s
    RETURNING live.*
)
INSERT INTO pgjobs.jobs_history (
    id, run_at, enqueued_at, started_at, finished_at, worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
    priority, status, queue, task, executor, summary, error, signature, payload, errors)
SELECT id, run_at, enqueued_at, started_at, now(), worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
       priority, 'completed', queue, task, executor, summary, error, signature, payload, errors
FROM done
RETURNING id
