-- Acknowledge: running → failed, its attempts used up. The row moves into history, and a dead letter with the
-- diagnosis of every attempt is written beside it. It died now, and not when the transaction began: what was enqueued
-- since then ends with its sequence, too.
-- A job that was asked to be cancelled is left to cancel.sql.
WITH gone AS (
    DELETE FROM pgjobs.jobs_live AS live
    USING unnest(%(ids)s::bigint[], %(claim_numbers)s::int[], %(errors)s::text[], %(kinds)s::text[],
               %(tracebacks)s::text[])
          AS a (id, claims, error, kind, traceback)
    WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
      AND live.status = 'running' AND live.worker_id = %(worker_id)s
      AND live.cancel_reason IS NULL
    RETURNING live.*, a.error AS new_error, a.kind AS new_kind,
              pgjobs.errors_with(live.errors, live.attempt, live.started_at, live.worker_id, %(host)s::text, a.error,
                                 a.traceback) AS new_errors
), letters AS (
    INSERT INTO pgjobs.dead_jobs AS d
           ({kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, status, finished_at,
            died_at, ends_sequence)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, new_error, new_kind, new_errors, 'failed', now(),
           clock_timestamp(), CASE WHEN on_failure = 'end' AND sequence IS NOT NULL THEN true END
    FROM gone
    ON CONFLICT (id) DO UPDATE
    SET attempt = excluded.attempt, max_attempts = excluded.max_attempts, error = excluded.error,
        error_kind = excluded.error_kind, errors = excluded.errors, finished_at = excluded.finished_at,
        died_at = excluded.died_at, ends_sequence = excluded.ends_sequence
    RETURNING 1
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, new_error, new_kind, new_errors, 'failed', now()
    FROM gone
    RETURNING 1
)
SELECT id, dependents AS awaited, on_failure = 'end' AND sequence IS NOT NULL AS ends_sequence
FROM gone
WHERE pgjobs.all_kept((SELECT count(*) FROM gone),
                      least((SELECT count(*) FROM kept), (SELECT count(*) FROM letters)))
