-- After mark_awaited.sql, with a newer snapshot: dependencies whose needed job is marked are settled. Returns the jobs
-- that have ended meanwhile, and how; one that left no row counts as completed.
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
), known AS MATERIALIZED (
    -- NULL: a transaction is about to requeue the job, whose row is then marked like any other.
    SELECT e.id AS needs_id, e.completed
    FROM pgjobs.hold_ended(ARRAY (SELECT needs_id FROM ends)) AS e
), settled AS (
    UPDATE pgjobs.dependencies AS d
    SET settled = true
    FROM wanted AS w
    WHERE d.needs_id = w.needs_id AND d.job_id = w.job_id
      AND (w.needs_id IN (SELECT needs_id FROM known WHERE completed IS NOT NULL)
           OR EXISTS (SELECT FROM pgjobs.jobs AS j
                      WHERE j.id = w.needs_id AND j.status IN ('waiting', 'queued', 'running') AND j.dependents))
)
SELECT needs_id, completed FROM known WHERE completed IS NOT NULL
