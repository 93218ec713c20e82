-- A batch of parked jobs of a task goes back: plain ones are queued, others wait for their turn.
WITH picked AS MATERIALIZED (
    SELECT w.id
    FROM pgjobs.jobs_waiting AS w
    WHERE w.held = 'task' AND w.task = %(task)s
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE pgjobs.jobs AS j
    SET status = CASE WHEN j.lane IS NULL THEN 'queued' ELSE 'waiting' END,
        held = CASE WHEN j.lane IS NOT NULL AND j.run_at > now() THEN 'later' END
    WHERE j.id = ANY (ARRAY (SELECT id FROM picked)) AND j.status = 'waiting' AND j.held = 'task'
    RETURNING j.id, j.queue
)
SELECT id, queue
FROM moved
WHERE pgjobs.all_kept((SELECT count(*) FROM picked), (SELECT count(*) FROM moved))
