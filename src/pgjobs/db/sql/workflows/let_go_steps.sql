-- Steps of a workflow that is paused no longer: to `queued`, or to waiting for their turn.
WITH locked AS MATERIALIZED (
    SELECT w.id FROM pgjobs.jobs_waiting AS w
    WHERE w.id = ANY (%(ids)s::bigint[]) AND w.held = 'workflow'
    ORDER BY w.id FOR UPDATE
), moved AS (
    UPDATE pgjobs.jobs AS j
    SET status = CASE WHEN j.lane IS NULL THEN 'queued' ELSE 'waiting' END,
        held = CASE WHEN j.lane IS NOT NULL AND j.run_at > now() THEN 'later' END
    WHERE j.id = ANY (ARRAY (SELECT id FROM locked)) AND j.status = 'waiting'
    RETURNING j.id, j.queue
)
SELECT id, queue FROM moved WHERE pgjobs.all_kept((SELECT count(*) FROM locked), (SELECT count(*) FROM moved))
