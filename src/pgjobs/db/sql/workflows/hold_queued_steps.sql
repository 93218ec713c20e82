-- Steps of a workflow that is paused now: those that have not started wait. A row that is being claimed runs.
WITH locked AS MATERIALIZED (
    SELECT j.id FROM pgjobs.jobs AS j
    WHERE j.id = ANY (%(ids)s::bigint[])
      AND (j.status = 'queued' OR (j.status = 'waiting' AND (j.held IS NULL OR j.held = 'later')))
    ORDER BY j.id FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE pgjobs.jobs AS j
    SET status = 'waiting', held = 'workflow'
    WHERE j.id = ANY (ARRAY (SELECT id FROM locked)) AND j.status IN ('queued', 'waiting')
    RETURNING j.id
)
SELECT id FROM moved WHERE pgjobs.all_kept((SELECT count(*) FROM locked), (SELECT count(*) FROM moved))
