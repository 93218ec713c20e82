-- Steps of workflows have ended, or may run from now on: writes down how each ended, and counts them. Jobs that are no
-- steps change nothing. In the transaction that ends them, after the statement that did. `changes`: what the number of
-- those that may run changes by. `ends`: how it has ended; NULL: it has not; lost: it failed or was cancelled. Returns
-- those that are steps, and whether each is to be held, because its workflow is paused or to be cancelled.
--
-- The counts of a workflow are spread over rows, one for each connection. Else all that end its steps at the same time
-- would wait for each other, and for an application that cancels some in a transaction that stays open. So none of
-- them knows when the last one has ended: see due_workflows.sql.
WITH steps AS MATERIALIZED (
    SELECT s.job_id, s.workflow_id, a.change, s.status IS NOT NULL AS is_known,
           CASE WHEN a.ends IS DISTINCT FROM 'lost' THEN a.ends
                WHEN EXISTS (SELECT FROM pgjobs.dead_jobs AS d WHERE d.id = a.id) THEN 'failed'
                ELSE 'cancelled' END AS status
    FROM unnest(%(ids)s::bigint[], %(changes)s::int[], %(ends)s::text[]) AS a (id, change, ends)
    JOIN pgjobs.workflow_steps AS s ON s.job_id = ANY (ARRAY[a.id])
    WHERE s.kind IS NULL OR s.kind = 'map'
), marked AS (
    UPDATE pgjobs.workflow_steps AS s
    SET status = e.status
    FROM steps AS e
    WHERE s.job_id = e.job_id AND e.status IS NOT NULL AND NOT e.is_known
), counted AS (
    INSERT INTO pgjobs.workflow_counts AS c
        (workflow_id, shard, active, completed, failed, cancelled, skipped)
    SELECT s.workflow_id, pg_backend_pid() %% 32768, sum(s.change) FILTER (WHERE NOT s.is_known),
           count(*) FILTER (WHERE s.status = 'completed' AND NOT s.is_known),
           count(*) FILTER (WHERE s.status = 'failed' AND NOT s.is_known),
           count(*) FILTER (WHERE s.status = 'cancelled' AND NOT s.is_known),
           count(*) FILTER (WHERE s.status = 'skipped' AND NOT s.is_known)
    FROM steps AS s
    GROUP BY s.workflow_id
    HAVING sum(s.change) FILTER (WHERE NOT s.is_known) <> 0 OR count(s.status) FILTER (WHERE NOT s.is_known) > 0
    ORDER BY s.workflow_id
    ON CONFLICT (workflow_id, shard) DO UPDATE
    SET active = c.active + excluded.active, completed = c.completed + excluded.completed,
        failed = c.failed + excluded.failed, cancelled = c.cancelled + excluded.cancelled,
        skipped = c.skipped + excluded.skipped
)
SELECT s.job_id, CASE WHEN s.status IS NULL THEN
                     (SELECT w.paused_at IS NOT NULL OR w.cancelled_at IS NOT NULL
                      FROM pgjobs.workflows AS w WHERE w.id = s.workflow_id) IS TRUE
                 ELSE false END AS is_held
FROM steps AS s
