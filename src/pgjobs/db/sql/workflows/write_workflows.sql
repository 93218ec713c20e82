-- Write down how workflows are, from what examine_workflows.sql has found. One that has ended is not counted any
-- longer: `steps` to `skipped` are then all that there is. Else they are what workflow_counts is added to.
WITH found AS MATERIALIZED (
    SELECT *
    FROM unnest(%(workflows)s::bigint[], %(statuses)s::text[], %(ends)s::boolean[], %(steps)s::bigint[],
                %(active)s::bigint[], %(completed)s::bigint[], %(failed)s::bigint[], %(cancelled)s::bigint[],
                %(skipped)s::bigint[])
         AS f (id, status, ended, steps, active, completed, failed, cancelled, skipped)
), counted AS (
    DELETE FROM pgjobs.workflow_counts AS c
    WHERE c.workflow_id = ANY (ARRAY (SELECT f.id FROM found AS f WHERE f.ended))
)
UPDATE pgjobs.workflows AS w
SET status = f.status, steps = f.steps, active = f.active, completed = f.completed, failed = f.failed,
    cancelled = f.cancelled, skipped = f.skipped, checked_at = now(),
    ended_at = CASE WHEN f.ended THEN coalesce(w.ended_at, now()) END
FROM found AS f
WHERE w.id = ANY (ARRAY[f.id])
