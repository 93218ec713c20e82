-- Acknowledge: running → completed, for jobs that had to wait for their turn. As complete.sql, and keeps why they had to.
WITH done AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[])
      AND live.status = 'running' AND live.worker_id = %(worker_id)s AND live.dependents IS NULL
      AND CASE WHEN (live.id, live.claims) IN (
              SELECT a.id, a.claims FROM unnest(%(ids)s::bigint[], %(claims)s::int[]) AS a (id, claims)
          ) THEN true END
    RETURNING live.*
)
INSERT INTO pgjobs.jobs_history (
    id, run_at, enqueued_at, started_at, finished_at, worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
    priority, status, queue, task, executor, summary, error, error_kind, signature, payload, errors, meta, lane, limit_key,
    cost, sequence, on_failure, breaker)
SELECT id, run_at, enqueued_at, started_at, now(), worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
       priority, 'completed', queue, task, executor, summary, error, error_kind, signature, payload, errors, meta, lane, limit_key,
       cost, sequence, on_failure, breaker
FROM done
