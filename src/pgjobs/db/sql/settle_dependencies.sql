-- After mark_awaited.sql, with a newer snapshot: what knows of it is settled. Gives the jobs that have ended meanwhile,
-- and how; one that is not kept has completed, as far as anybody knows.
WITH wanted AS MATERIALIZED (
    SELECT d.needs_id, d.job_id
    FROM pgjobs.dependencies AS d
    WHERE NOT d.settled
    ORDER BY d.needs_id
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
), ends AS MATERIALIZED (
    SELECT DISTINCT w.needs_id
    FROM wanted AS w
    WHERE NOT EXISTS (SELECT FROM pgjobs.jobs AS j
                      WHERE j.id = w.needs_id AND j.status IN ('waiting', 'queued', 'running'))
), settled AS (
    UPDATE pgjobs.dependencies AS d
    SET settled = true
    FROM wanted AS w
    WHERE d.needs_id = w.needs_id AND d.job_id = w.job_id
      AND (w.needs_id IN (SELECT needs_id FROM ends)
           OR EXISTS (SELECT FROM pgjobs.jobs AS j
                      WHERE j.id = w.needs_id AND j.status IN ('waiting', 'queued', 'running') AND j.dependents))
)
SELECT e.needs_id,
       coalesce((SELECT h.status = 'completed' FROM pgjobs.jobs_history AS h
                 WHERE h.id = e.needs_id ORDER BY h.finished_at DESC LIMIT 1), true) AS completed
FROM ends AS e
