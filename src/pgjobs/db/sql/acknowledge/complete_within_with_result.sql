-- Complete: what complete_within.sql does, for a job whose result is kept. It is kept until a time after the end, which
-- is now, and not the beginning of the transaction.
WITH done AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = CAST(%(id)s AS bigint) AND live.status = 'running' AND live.claims = CAST(%(claim_number)s AS int)
    RETURNING {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, live.dependents
), forgotten AS (
    SELECT
    FROM done AS d
    JOIN pgjobs.queues AS q ON q.name = d.queue
    WHERE d.dependents IS NULL AND NOT q.keep_completed
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, 'completed',
           clock_timestamp()
    FROM done
    WHERE NOT EXISTS (SELECT FROM forgotten)
    RETURNING 1
), unsettled AS (
    UPDATE pgjobs.dependencies AS d
    SET settled = false
    FROM done
    WHERE done.dependents AND d.needs_id = done.id
    RETURNING 1
), results AS (
    INSERT INTO pgjobs.results (job_id, stored_at, kept_until, is_json, signature, value)
    SELECT done.id, e.ended, e.ended + CAST(%(seconds)s AS float8) * interval '1 second', CAST(%(is_json)s AS boolean),
           CAST(%(signature)s AS bytea), CAST(%(value)s AS bytea)
    FROM done
    CROSS JOIN (SELECT clock_timestamp() AS ended OFFSET 0) AS e
    RETURNING 1
), told AS (
    INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure, settled)
    SELECT done.id, 0, 'run', false
    FROM done
    WHERE done.dependents AND EXISTS (SELECT FROM pgjobs.workflow_steps AS s WHERE s.job_id = done.id)
    ON CONFLICT DO NOTHING
)
SELECT CASE WHEN EXISTS (SELECT FROM done WHERE dependents) THEN 1 ELSE 0 END
WHERE pgjobs.refuse_stale_claim((SELECT count(*) FROM done))
  AND pgjobs.all_kept((SELECT count(*) FROM done),
                      (SELECT count(*) FROM kept) + (SELECT count(*) FROM forgotten))
  AND pgjobs.all_kept((SELECT count(*) FROM done), (SELECT count(*) FROM results))
