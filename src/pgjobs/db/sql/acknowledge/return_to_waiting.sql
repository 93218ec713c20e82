-- Queued again → waiting, for jobs that have to wait for their turn: after retry, snooze and hand_back, in the same
-- transaction.
WITH gone AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[]) AND live.status = 'queued' AND live.lane IS NOT NULL
    RETURNING live.*
)
INSERT INTO pgjobs.jobs_waiting (
    id, run_at, enqueued_at, claims, attempt, max_attempts, prior_attempts, timeout, priority, isolate, status, queue,
    task, executor, summary, error, error_kind, signature, payload, errors, meta, expires_at, lane, limit_key, cost, sequence, on_failure,
    breaker, held, dependents)
SELECT id, run_at, enqueued_at, claims, attempt, max_attempts, prior_attempts, timeout, priority, isolate, 'waiting', queue,
       task, executor, summary, error, error_kind, signature, payload, errors, meta, expires_at, lane, limit_key, cost, sequence, on_failure,
       breaker, CASE WHEN run_at > now() THEN 'later' END, dependents
FROM gone
