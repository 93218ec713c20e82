-- Steps that may run, of workflows that are paused or about to be cancelled: they wait. The workflows are locked and
-- looked at again: a resume meanwhile waits for this transaction, and then lets these steps go. Where one is
-- locked already, its steps stay as they are: a look at it after the commit holds them, see due_workflows.sql.
WITH workflows AS MATERIALIZED (
    SELECT w.id
    FROM pgjobs.workflows AS w
    WHERE w.id = ANY (ARRAY (SELECT s.workflow_id FROM pgjobs.workflow_steps AS s
                             WHERE s.job_id = ANY (%(ids)s::bigint[])))
      AND (w.paused_at IS NOT NULL OR w.cancelled_at IS NOT NULL)
    ORDER BY w.id
    FOR SHARE SKIP LOCKED
), steps AS MATERIALIZED (
    SELECT s.job_id
    FROM pgjobs.workflow_steps AS s
    WHERE s.job_id = ANY (%(ids)s::bigint[]) AND (s.workflow_id IN (SELECT id FROM workflows)) IS TRUE
), locked AS MATERIALIZED (
    SELECT j.id FROM pgjobs.jobs AS j
    WHERE j.id = ANY (ARRAY (SELECT job_id FROM steps)) AND j.status IN ('queued', 'waiting')
      AND j.held IS DISTINCT FROM 'needs'
    ORDER BY j.id FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE pgjobs.jobs AS j
    SET status = 'waiting', held = 'workflow'
    WHERE j.id = ANY (ARRAY (SELECT id FROM locked)) AND j.status IN ('queued', 'waiting')
    RETURNING j.id
)
SELECT id FROM moved WHERE pgjobs.all_kept((SELECT count(*) FROM locked), (SELECT count(*) FROM moved))
