-- Acknowledge: running → cancelled, because the job itself said so, or because it was asked to. `error` holds the
-- reason: the one of the request, if there is one. Where none is given, only what was asked is cancelled.
WITH gone AS (
    DELETE FROM pgjobs.jobs_live AS live
    USING unnest(%(ids)s::bigint[], %(claims)s::int[], %(reasons)s::text[]) AS a (id, claims, reason)
    WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
      AND live.status = 'running' AND live.worker_id = %(worker_id)s
      AND coalesce(live.cancel_reason, a.reason) IS NOT NULL
    RETURNING live.*, coalesce(live.cancel_reason, a.reason) AS reason
), kept AS (
    INSERT INTO pgjobs.jobs_history (
        id, run_at, enqueued_at, started_at, finished_at, worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
        priority, isolate, status, queue, task, executor, summary, error, signature, payload, errors, meta, lane,
        limit_key, cost, sequence, on_failure, breaker)
    SELECT id, run_at, enqueued_at, started_at, now(), worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
           priority, isolate, 'cancelled', queue, task, executor, summary, reason, signature, payload, errors, meta, lane,
           limit_key, cost, sequence, on_failure, breaker
    FROM gone
)
SELECT id, dependents AS awaited, NULL AS ended
FROM gone
