-- Remove a batch of the dead letters that died too long ago, oldest first. What somebody replays at this moment is his.
DELETE FROM pgjobs.dead_jobs
WHERE id = ANY (ARRAY (
    SELECT id
    FROM pgjobs.dead_jobs
    WHERE died_at < now() - %(days)s * interval '1 day'
    ORDER BY died_at, id
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED))
