-- Jobs have failed, or were cancelled: who said that it is then to be cancelled too. Gives the cancelled, for whom the
-- same may be asked again.
WITH lost AS MATERIALIZED (
    DELETE FROM pgjobs.dependencies AS d
    WHERE d.needs_id = ANY (%(ids)s::bigint[]) AND d.on_failure = 'cancel'
    RETURNING d.job_id, d.needs_id
), reasons AS MATERIALIZED (
    SELECT job_id, min(needs_id) AS needs_id FROM lost GROUP BY job_id
), gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w
    USING reasons
    WHERE w.id = reasons.job_id AND w.held = 'needs'
    RETURNING w.*, reasons.needs_id
), kept AS (
    INSERT INTO pgjobs.jobs_history (
        id, run_at, enqueued_at, started_at, finished_at, worker_id, claims, attempt, max_attempts, prior_attempts,
        timeout, priority, isolate, status, queue, task, executor, summary, error, signature, payload, errors, meta, lane,
        limit_key, cost, sequence, on_failure, breaker)
    SELECT id, run_at, enqueued_at, started_at, now(), worker_id, claims, attempt, max_attempts, prior_attempts,
           timeout, priority, isolate, 'cancelled', queue, task, executor, summary,
           format('cancelled: job %%s, which it waited for, did not complete', needs_id), signature, payload, errors, meta,
           lane, limit_key, cost, sequence, on_failure, breaker
    FROM gone
)
SELECT id, dependents AS awaited FROM gone
