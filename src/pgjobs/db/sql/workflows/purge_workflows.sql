-- Delete a batch of workflows that ended longer ago than history is kept, with all that belongs to them.
WITH old AS MATERIALIZED (
    SELECT w.id
    FROM pgjobs.workflows AS w
    WHERE w.ended_at < now() - %(days)s * interval '1 day'
    ORDER BY w.ended_at
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED
), counts AS (
    DELETE FROM pgjobs.workflow_counts AS c USING old WHERE c.workflow_id = old.id
), callbacks AS (
    DELETE FROM pgjobs.workflow_callbacks AS c USING old WHERE c.workflow_id = old.id
), signals AS (
    DELETE FROM pgjobs.signals AS s USING old WHERE s.kind = 'workflow' AND s.target = old.id
), waits AS (
    DELETE FROM pgjobs.waits AS w USING old WHERE w.workflow_id = old.id
), steps AS (
    DELETE FROM pgjobs.workflow_steps AS s USING old WHERE s.workflow_id = old.id
)
DELETE FROM pgjobs.workflows AS w USING old WHERE w.id = old.id
