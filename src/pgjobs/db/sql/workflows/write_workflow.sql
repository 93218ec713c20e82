-- Write down how a workflow is, from what examine_workflow.sql has found. One that has ended is not counted any
-- longer: `steps` to `skipped` are then all that there is. Else they are what workflow_counts is added to.
WITH counted AS (
    DELETE FROM pgjobs.workflow_counts AS c WHERE c.workflow_id = %(workflow)s AND %(ended)s::boolean
)
UPDATE pgjobs.workflows AS w
SET status = %(status)s, steps = %(steps)s, active = %(active)s, completed = %(completed)s, failed = %(failed)s,
    cancelled = %(cancelled)s, skipped = %(skipped)s, checked_at = now(),
    ended_at = CASE WHEN %(ended)s::boolean THEN coalesce(w.ended_at, now()) END
WHERE w.id = %(workflow)s
