-- Delete a batch of broadcasts that closed longer ago than history is kept, with what came of them.
WITH old AS MATERIALIZED (
    SELECT b.id
    FROM pgjobs.broadcasts AS b
    WHERE b.closes_at < now() - %(days)s * interval '1 day'
    ORDER BY b.closes_at
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED
), runs AS (
    DELETE FROM pgjobs.broadcast_runs AS r USING old WHERE r.broadcast_id = old.id
)
DELETE FROM pgjobs.broadcasts AS b USING old WHERE b.id = old.id
