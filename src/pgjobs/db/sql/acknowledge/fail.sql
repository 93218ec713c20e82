-- Acknowledge: running → failed, its attempts used up. The row moves into history, and a dead letter with the
-- diagnosis of every attempt is written beside it.
-- What was asked to be cancelled is left: see cancel.sql.
WITH gone AS (
    DELETE FROM pgjobs.jobs_live AS live
    USING unnest(%(ids)s::bigint[], %(claims)s::int[], %(errors)s::text[], %(tracebacks)s::text[])
          AS a (id, claims, error, traceback)
    WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
      AND live.status = 'running' AND live.worker_id = %(worker_id)s
      AND live.cancel_reason IS NULL
    RETURNING live.id, live.run_at, live.enqueued_at, live.started_at, live.worker_id, live.claims, live.attempt,
              live.max_attempts, live.prior_attempts, live.timeout, live.priority, live.isolate, live.queue,
              live.task, live.executor, live.summary, live.error_kind, live.signature, live.payload, live.meta, live.lane, live.limit_key,
              live.cost, live.sequence, live.on_failure, live.breaker, live.dependents, a.error,
              CASE WHEN jsonb_typeof(live.errors) <> 'array' THEN '[]'
                   WHEN jsonb_array_length(live.errors) >= 100 THEN live.errors - 1
                   ELSE coalesce(live.errors, '[]') END
              || jsonb_build_object('attempt', live.attempt, 'at', now(), 'started_at', live.started_at,
                                    'error', a.error, 'traceback', a.traceback,
                                    'worker', live.worker_id, 'host', %(host)s::text) AS errors
), letters AS (
    INSERT INTO pgjobs.dead_jobs AS d (
        id, run_at, enqueued_at, started_at, finished_at, worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
        priority, isolate, status, queue, task, executor, summary, error, error_kind, signature, payload, errors, meta, lane, limit_key,
        cost, sequence, on_failure, breaker)
    SELECT id, run_at, enqueued_at, started_at, now(), worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
           priority, isolate, 'failed', queue, task, executor, summary, error, error_kind, signature, payload, errors, meta, lane, limit_key,
           cost, sequence, on_failure, breaker
    FROM gone
    ON CONFLICT (id) DO UPDATE
    SET attempt = excluded.attempt, max_attempts = excluded.max_attempts, error = excluded.error,
        errors = excluded.errors, finished_at = excluded.finished_at, died_at = excluded.died_at
), kept AS (
    INSERT INTO pgjobs.jobs_history (
        id, run_at, enqueued_at, started_at, finished_at, worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
        priority, isolate, status, queue, task, executor, summary, error, error_kind, signature, payload, errors, meta, lane, limit_key,
            cost, sequence, on_failure, breaker)
    SELECT id, run_at, enqueued_at, started_at, now(), worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
           priority, isolate, 'failed', queue, task, executor, summary, error, error_kind, signature, payload, errors, meta, lane, limit_key,
           cost, sequence, on_failure, breaker
    FROM gone
)
SELECT id, dependents AS awaited, CASE WHEN on_failure = 'end' THEN sequence END AS ended
FROM gone
