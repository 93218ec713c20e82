-- Steps that may run, of workflows that are paused or about to be cancelled: they wait.
WITH locked AS MATERIALIZED (
    SELECT j.id FROM pgjobs.jobs AS j
    WHERE j.id = ANY (%(ids)s::bigint[]) AND j.status IN ('queued', 'waiting') AND j.held IS DISTINCT FROM 'needs'
    ORDER BY j.id FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE pgjobs.jobs AS j
    SET status = 'waiting', held = 'workflow'
    WHERE j.id = ANY (ARRAY (SELECT id FROM locked)) AND j.status IN ('queued', 'waiting')
    RETURNING j.id
)
SELECT id FROM moved WHERE pgjobs.all_kept((SELECT count(*) FROM locked), (SELECT count(*) FROM moved))
