-- The next dependencies in their order, and what was left behind of them. `completed`: how the needed job has ended,
-- where that lets the other one continue, or cancels it; NULL: there is nothing to do. A worker of an earlier version
-- may have written the end without that. One that left no row stays as it is, as after a dead letter was discarded.
-- `is_lost`: the job that waits is gone, see purge_dependencies.sql. Job 0 stands for a workflow: complete_within.sql.
WITH next AS MATERIALIZED (
    SELECT d.needs_id, d.job_id, d.on_failure, d.settled
    FROM pgjobs.dependencies AS d
    WHERE (d.needs_id, d.job_id) > (%(after_needs)s::bigint, %(after_job)s::bigint)
    ORDER BY d.needs_id, d.job_id
    LIMIT %(batch)s
), gone AS MATERIALIZED (
    SELECT a.id
    FROM (SELECT needs_id FROM next WHERE settled UNION SELECT job_id FROM next) AS a (id)
    WHERE NOT EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = a.id)
      AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS j WHERE j.id = a.id)
), ended AS MATERIALIZED (
    SELECT e.id, e.status FROM pgjobs.find_ended(ARRAY (SELECT id FROM gone)) AS e
), known AS MATERIALIZED (
    SELECT h.id, h.completed
    FROM pgjobs.hold_ended(ARRAY (
        SELECT e.id
        FROM ended AS e
        JOIN next AS n ON n.needs_id = e.id
        JOIN pgjobs.jobs_waiting AS w ON w.id = n.job_id AND w.held = 'needs'
        WHERE n.settled AND (e.status = 'completed' OR n.on_failure <> 'wait'))) AS h
)
SELECT n.needs_id, n.job_id, k.completed,
       n.job_id <> 0 AND n.job_id IN (SELECT id FROM gone) AND n.job_id NOT IN (SELECT id FROM ended)
       AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS x WHERE x.id = n.job_id) AS is_lost
FROM next AS n
LEFT JOIN (SELECT DISTINCT id, completed FROM known) AS k ON k.id = n.needs_id AND n.settled
ORDER BY n.needs_id, n.job_id
