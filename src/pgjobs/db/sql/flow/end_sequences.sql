-- A job of these sequences has failed for good, and they end with it: what waits in them is cancelled.
WITH gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w
    USING unnest(%(sequences)s::text[], %(ids)s::bigint[]) AS e (sequence, id)
    WHERE w.sequence = e.sequence
    RETURNING w.*, e.id AS failed_id
), kept AS (
    INSERT INTO pgjobs.jobs_history (
        id, run_at, enqueued_at, started_at, finished_at, worker_id, claims, attempt, max_attempts, prior_attempts,
        timeout, priority, isolate, status, queue, task, executor, summary, error, signature, payload, errors, meta, lane,
        limit_key, cost, sequence, on_failure, breaker)
    SELECT id, run_at, enqueued_at, started_at, now(), worker_id, claims, attempt, max_attempts, prior_attempts,
           timeout, priority, isolate, 'cancelled', queue, task, executor, summary,
           format('cancelled: its sequence ended when job %%s failed', failed_id), signature, payload, errors, meta,
           lane, limit_key, cost, sequence, on_failure, breaker
    FROM gone
)
SELECT id, dependents AS awaited FROM gone
