-- Queued or waiting → cancelled: into history. A job that is claimed at this very moment is running when the lock is
-- had, and so is left alone: see request_cancel.sql.
WITH gone AS (
    DELETE FROM pgjobs.jobs AS live
    WHERE live.id = ANY (%(ids)s::bigint[]) AND live.status IN ('queued', 'waiting')
    RETURNING live.*
), kept AS (
    INSERT INTO pgjobs.jobs_history (
        id, run_at, enqueued_at, started_at, finished_at, worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
        priority, isolate, status, queue, task, executor, summary, error, signature, payload, errors, meta, lane,
        limit_key, cost, sequence, on_failure, breaker)
    SELECT id, run_at, enqueued_at, started_at, now(), worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
           priority, isolate, 'cancelled', queue, task, executor, summary, %(reason)s::text, signature, payload, errors, meta, lane,
           limit_key, cost, sequence, on_failure, breaker
    FROM gone
)
SELECT id, dependents AS awaited
FROM gone
