-- Which of these claims have a row that another transaction has locked. The rows of the others are locked by this one:
-- what is written next waits for nothing.
WITH ours AS MATERIALIZED (
    SELECT live.id
    FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[]) AND live.status = 'running' AND live.worker_id = %(worker_id)s
), free AS MATERIALIZED (
    SELECT live.id
    FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (ARRAY (SELECT id FROM ours))
    ORDER BY live.id
    FOR UPDATE SKIP LOCKED
)
SELECT o.id FROM ours AS o WHERE o.id NOT IN (SELECT id FROM free)
