-- After a job that waits for others was committed: mark those others, as far as they have not ended. A row that
-- another transaction holds is left for the next time.
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT d.needs_id
    FROM (SELECT u.needs_id FROM pgjobs.dependencies AS u WHERE NOT u.settled ORDER BY u.needs_id LIMIT 1000) AS d
), free AS MATERIALIZED (
    SELECT j.id
    FROM pgjobs.jobs AS j
    WHERE j.id = ANY (ARRAY (SELECT needs_id FROM wanted)) AND j.status IN ('waiting', 'queued', 'running')
      AND j.dependents IS NULL
    ORDER BY j.id
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE pgjobs.jobs AS j
SET dependents = true
WHERE j.id = ANY (ARRAY (SELECT id FROM free)) AND j.status IN ('waiting', 'queued', 'running')
