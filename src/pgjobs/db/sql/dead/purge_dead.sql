-- Delete a batch of the dead letters that are too old, oldest first. One that is being replayed is left alone.
DELETE FROM pgjobs.dead_jobs
WHERE id = ANY (ARRAY (
    SELECT id
    FROM pgjobs.dead_jobs
    WHERE ends_sequence IS NOT TRUE AND died_at < now() - %(days)s * interval '24 hours'
    ORDER BY died_at, id
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED))
