-- The nodes of a workflow, and how many of their steps are how. `ended_at`: see find_ended.sql. What is called at the
-- end has no status of its own: its job says how it is.
WITH steps AS MATERIALIZED (
    SELECT s.job_id, s.node, s.n, s.kind, s.name, s.needs, s.if_failed, s.status,
           coalesce(l.status, w.status) AS live, l.started_at,
           d.id AS letter, h.status AS ended, h.took
    FROM pgjobs.workflow_steps AS s
    LEFT JOIN pgjobs.jobs_live AS l ON l.id = s.job_id
    LEFT JOIN pgjobs.jobs_waiting AS w ON w.id = s.job_id
    LEFT JOIN pgjobs.dead_jobs AS d ON d.id = s.job_id
    LEFT JOIN LATERAL (
        SELECT j.status, extract(epoch FROM j.finished_at - j.started_at)::float8 AS took
        FROM pgjobs.jobs_history AS j
        WHERE j.id = s.job_id AND j.finished_at = ANY (%(ended_at)s::timestamptz[])
        ORDER BY j.finished_at DESC
        LIMIT 1
    ) AS h ON l.id IS NULL AND w.id IS NULL
    WHERE s.workflow_id = %(workflow)s
)
SELECT node AS id, min(name) AS name,
       max(kind) FILTER (WHERE n IS NULL) AS kind,
       coalesce((SELECT m.needs FROM steps AS m
                 WHERE m.node = steps.node AND m.needs IS NOT NULL ORDER BY m.job_id LIMIT 1), '{}') AS needs,
       (array_agg(if_failed ORDER BY job_id))[1] AS if_failed,
       count(*) AS steps,
       count(*) FILTER (WHERE live = 'waiting') AS waiting, count(*) FILTER (WHERE live = 'queued') AS queued,
       count(*) FILTER (WHERE live = 'running') AS running,
       count(*) FILTER (WHERE live IS NULL AND coalesce(status, ended) = 'completed') AS completed,
       count(*) FILTER (WHERE live IS NULL AND coalesce(status, ended) = 'failed') AS failed,
       count(*) FILTER (WHERE live IS NULL AND coalesce(status, ended) = 'cancelled') AS cancelled,
       count(*) FILTER (WHERE status = 'skipped') AS skipped,
       coalesce((array_agg(letter ORDER BY letter) FILTER (WHERE letter IS NOT NULL))[1:10], '{}') AS dead,
       max(coalesce(took, extract(epoch FROM now() - started_at)::float8)) AS seconds
FROM steps
GROUP BY node
ORDER BY node
