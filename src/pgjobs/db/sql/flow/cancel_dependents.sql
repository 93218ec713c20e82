-- Jobs have failed, or were cancelled: ends the jobs that wait for them and asked for that, by cancelling or by
-- skipping them. Returns those, whose own dependents come next. %(patient)s: see release_dependents.sql; `postponed`
-- are the others. A job that does not wait keeps its dependencies, see there.
WITH lost AS MATERIALIZED (
    SELECT d.needs_id, d.job_id, w.id IS NOT NULL AS waits, d.on_failure = 'skip' AS is_skipped
    FROM pgjobs.dependencies AS d
    LEFT JOIN pgjobs.jobs_waiting AS w ON w.id = d.job_id AND w.held = 'needs'
    WHERE d.needs_id = ANY (%(ids)s::bigint[]) AND d.on_failure IN ('cancel', 'skip')
), reasons AS MATERIALIZED (
    SELECT job_id, min(needs_id) AS needs_id, bool_and(is_skipped) AS is_skipped
    FROM lost WHERE waits GROUP BY job_id
), locked AS MATERIALIZED (
    SELECT waited.id
    FROM (SELECT w.id
          FROM pgjobs.jobs_waiting AS w
          WHERE %(patient)s::boolean AND w.id = ANY (ARRAY (SELECT job_id FROM reasons)) AND w.held = 'needs'
          ORDER BY w.id
          FOR UPDATE) AS waited
    UNION ALL
    SELECT free.id
    FROM (SELECT w.id
          FROM pgjobs.jobs_waiting AS w
          WHERE NOT %(patient)s::boolean AND w.id = ANY (ARRAY (SELECT job_id FROM reasons))
            AND w.held = 'needs'
          ORDER BY w.id
          FOR UPDATE SKIP LOCKED) AS free
), met AS (
    DELETE FROM pgjobs.dependencies AS d
    USING lost AS n
    WHERE d.needs_id = n.needs_id AND d.job_id = n.job_id
      AND (n.job_id IN (SELECT id FROM locked)) IS TRUE
), later AS (
    UPDATE pgjobs.dependencies AS d
    SET settled = false
    FROM lost AS n
    WHERE d.needs_id = n.needs_id AND d.job_id = n.job_id
      AND NOT %(patient)s::boolean AND n.waits AND n.job_id NOT IN (SELECT id FROM locked)
    RETURNING d.job_id
), gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w
    USING reasons
    WHERE w.id = reasons.job_id AND (reasons.job_id IN (SELECT id FROM locked)) IS TRUE
    RETURNING w.*, reasons.is_skipped,
              format('%%s: job %%s, which it waited for, did not complete',
                     CASE WHEN reasons.is_skipped THEN 'skipped' ELSE 'cancelled' END, reasons.needs_id) AS reason
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, errors, error, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, errors, reason, 'cancelled', now()
    FROM gone
    RETURNING 1
)
SELECT id, dependents AS awaited, false AS postponed, is_skipped, false AS was_active
FROM gone
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM kept))
UNION ALL
SELECT DISTINCT job_id, NULL::boolean, true, false, NULL::boolean FROM later
