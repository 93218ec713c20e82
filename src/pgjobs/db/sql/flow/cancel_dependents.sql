-- Jobs have failed, or were cancelled: cancels the jobs that wait for them and asked to be cancelled in that case.
-- Returns those, whose own dependents come next.
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
    RETURNING w.*,
              format('cancelled: job %%s, which it waited for, did not complete', reasons.needs_id) AS reason
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, errors, error, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, errors, reason, 'cancelled', now()
    FROM gone
    RETURNING 1
)
SELECT id, dependents AS awaited
FROM gone
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM kept))
