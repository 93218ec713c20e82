-- Jobs were put back to run again: those that are steps have not ended. Their rows say again that others depend on
-- them, and their workflows go on.
WITH steps AS MATERIALIZED (
    SELECT s.job_id, s.workflow_id, s.status
    FROM pgjobs.workflow_steps AS s
    WHERE s.job_id = ANY (%(ids)s::bigint[]) AND (s.kind IS NULL OR s.kind = 'map')
), marked AS (
    UPDATE pgjobs.jobs AS j
    SET dependents = true
    WHERE j.id = ANY (ARRAY (SELECT job_id FROM steps)) AND j.status IN ('queued', 'waiting')
    RETURNING j.id, j.held
), opened AS (
    UPDATE pgjobs.workflow_steps AS s
    SET status = NULL
    FROM steps AS e
    WHERE s.job_id = e.job_id AND s.status IS NOT NULL
), counts AS MATERIALIZED (
    SELECT s.workflow_id, count(*) FILTER (WHERE m.held IS DISTINCT FROM 'needs') AS active,
           count(*) FILTER (WHERE s.status = 'completed') AS completed,
           count(*) FILTER (WHERE s.status = 'failed') AS failed,
           count(*) FILTER (WHERE s.status = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE s.status = 'skipped') AS skipped
    FROM steps AS s
    JOIN marked AS m ON m.id = s.job_id
    WHERE s.status IS NOT NULL
    GROUP BY s.workflow_id
), locked AS MATERIALIZED (
    SELECT w.id
    FROM pgjobs.workflows AS w
    WHERE w.id = ANY (ARRAY (SELECT workflow_id FROM counts))
    ORDER BY w.id
    FOR NO KEY UPDATE
)
UPDATE pgjobs.workflows AS w
SET status = 'running', ended_at = NULL, cancelled_at = NULL, cancel_reason = NULL,
    key = CASE WHEN w.ended_at IS NULL OR NOT EXISTS (SELECT FROM pgjobs.workflows AS o
                                                      WHERE o.key = w.key AND o.ended_at IS NULL) THEN w.key END,
    active = w.active + c.active, completed = w.completed - c.completed, failed = w.failed - c.failed,
    cancelled = w.cancelled - c.cancelled, skipped = w.skipped - c.skipped
FROM counts AS c
WHERE w.id = c.workflow_id AND w.id IN (SELECT id FROM locked)
RETURNING w.id
