-- A step has added others: what waits for it also waits for those. Before it is released, in the same transaction. Rows
-- are locked in the order of their ids, as in release_dependents.sql.
WITH waiting AS MATERIALIZED (
    SELECT d.job_id, d.on_failure
    FROM pgjobs.dependencies AS d
    WHERE d.needs_id = %(step)s AND d.job_id <> 0
), locked AS MATERIALIZED (
    SELECT w.id
    FROM pgjobs.jobs_waiting AS w
    WHERE w.id = ANY (ARRAY (SELECT job_id FROM waiting)) AND w.held = 'needs'
    ORDER BY w.id
    FOR UPDATE
), edges AS (
    INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure, settled)
    SELECT n.id, w.job_id, w.on_failure, true
    FROM waiting AS w
    CROSS JOIN unnest(%(last)s::bigint[]) AS n (id)
    WHERE (w.job_id IN (SELECT id FROM locked)) IS TRUE
    ON CONFLICT DO NOTHING
    RETURNING job_id
), counted AS (
    INSERT INTO pgjobs.workflow_counts AS c (workflow_id, shard, steps, active)
    VALUES (%(workflow)s, pg_backend_pid() %% 32768, %(steps)s, %(active)s)
    ON CONFLICT (workflow_id, shard) DO UPDATE SET steps = c.steps + excluded.steps, active = c.active + excluded.active
)
UPDATE pgjobs.jobs_waiting AS w
SET needs = w.needs + e.n
FROM (SELECT job_id, count(*)::int AS n FROM edges GROUP BY job_id) AS e
WHERE w.id = e.job_id
