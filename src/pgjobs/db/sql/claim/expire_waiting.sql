-- What waits in a queue and is not worth running any more → cancelled, before turns are given: an expired job must not
-- take the tokens and slots of others.
WITH gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w
    WHERE w.ctid = ANY (ARRAY (
        SELECT e.ctid
        FROM pgjobs.jobs_waiting AS e
        WHERE e.queue = %(queue)s AND e.expires_at IS NOT NULL AND e.expires_at <= now()
        ORDER BY e.expires_at
        LIMIT 500
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING w.*
), kept AS (
    INSERT INTO pgjobs.jobs_history (
        id, run_at, enqueued_at, started_at, finished_at, worker_id, claims, attempt, max_attempts, prior_attempts,
        timeout, priority, isolate, status, queue, task, executor, summary, error, signature, payload, errors, meta, lane,
        limit_key, cost, sequence, on_failure, breaker)
    SELECT id, run_at, enqueued_at, started_at, now(), worker_id, claims, attempt, max_attempts, prior_attempts,
           timeout, priority, isolate, 'cancelled', queue, task, executor, summary, %(reason)s::text, signature, payload,
           errors, meta, lane, limit_key, cost, sequence, on_failure, breaker
    FROM gone
)
SELECT id, dependents AS awaited FROM gone
