-- Complete: running → completed, by the job itself in the transaction of its own work. The claim is the fence: it
-- belongs to one attempt of one worker. Where it is no longer the job's, the transaction cannot be committed. Jobs
-- that wait for this one are left to settle_dependencies.sql: this transaction may be open for long, and locks no
-- others. Returns 1 if there are some. A step of a workflow that no other one waits for gets a dependency that stands
-- for its workflow (job 0), which is settled like any other.
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
