-- All about one job: its row, its dead letter and its worker, if there are any, and the first of the jobs that it
-- waits for and that wait for it. A lane begins with the tenant. If retention has dropped the row, the dead letter
-- stands in. For `ended_at` see find_ended.sql.
WITH found AS (
    SELECT 1 AS place, {kept_columns}, {attempt_columns}, {flow_columns}, status, finished_at, error, errors,
           expires_at, held
    FROM pgjobs.jobs
    WHERE id = %(id)s AND status IN ('queued', 'waiting', 'running')
    UNION ALL
    SELECT 1, {kept_columns}, {attempt_columns}, {flow_columns}, status, finished_at, error, errors,
           expires_at, held
    FROM pgjobs.jobs_history
    WHERE id = %(id)s AND (finished_at = ANY (%(ended_at)s::timestamptz[]) OR finished_at IS NULL)
    UNION ALL
    SELECT 2, {kept_columns}, {attempt_columns}, {flow_columns}, status, finished_at, error, errors, expires_at, held
    FROM pgjobs.dead_jobs
    WHERE id = %(id)s
)
SELECT f.id, f.status, f.queue, f.priority, f.task, f.summary, f.attempt, f.max_attempts, f.prior_attempts,
       f.run_at, f.enqueued_at, f.started_at, f.finished_at, f.worker_id, f.error, f.meta,
       f.timeout, f.executor, f.signature IS NOT NULL AS signed, length(f.payload) AS payload_bytes,
       f.limit_key, nullif(split_part(f.lane, chr(31), 1), '') AS tenant, f.sequence, f.on_failure, f.breaker, f.cost,
       f.expires_at, f.held,
       ARRAY (SELECT n.needs_id FROM pgjobs.dependencies AS n
              WHERE n.job_id = f.id ORDER BY n.needs_id LIMIT 10) AS waits_for,
       (SELECT n.on_failure FROM pgjobs.dependencies AS n WHERE n.job_id = f.id LIMIT 1) AS if_failed,
       ARRAY (SELECT n.job_id FROM pgjobs.dependencies AS n
              WHERE n.needs_id = f.id ORDER BY n.job_id LIMIT 10) AS awaited_by,
       coalesce(f.errors, '[]') AS errors, d.died_at, w.host AS worker_host, w.pid AS worker_pid,
       r.result, r.kept_until AS result_until,
       to_jsonb(p) - '{job_id,waits_for,waits_claim}'::text[] AS progress
FROM found AS f
LEFT JOIN pgjobs.dead_jobs AS d ON d.id = f.id
LEFT JOIN pgjobs.progress AS p ON p.job_id = f.id AND num_nonnulls(p.done, p.total, p.message, p.state) > 0
LEFT JOIN pgjobs.workers AS w ON w.id = f.worker_id
LEFT JOIN LATERAL (
    -- A pickle is not loaded to be shown: it is code.
    SELECT s.kept_until,
           CASE WHEN NOT s.is_json THEN format('a pickle of %%s bytes', length(s.value))
                WHEN length(s.value) <= 1000 AND getdatabaseencoding() = 'UTF8' THEN convert_from(s.value, 'UTF8')
                ELSE format('JSON of %%s bytes', length(s.value)) END AS result
    FROM pgjobs.results AS s
    WHERE s.job_id = f.id AND s.kept_until > now()
    ORDER BY s.stored_at DESC
    LIMIT 1
) AS r ON true
ORDER BY f.place, f.finished_at DESC
LIMIT 1
