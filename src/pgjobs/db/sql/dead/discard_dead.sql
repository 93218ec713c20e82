-- Delete a batch of dead letters. The jobs stay in history as failed. A letter whose sequence has still to end stays.
WITH picked AS MATERIALIZED (
    SELECT id, died_at
    FROM pgjobs.dead_jobs
    WHERE died_at <= %(until)s::timestamptz
      AND ends_sequence IS NOT TRUE
      AND (died_at, id) > (%(after_died_at)s::timestamptz, %(after_id)s::bigint)
      AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s::bigint[]))
      AND (%(queue)s::text IS NULL OR queue LIKE %(queue)s::text)
      AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
    ORDER BY died_at, id
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM pgjobs.dead_jobs AS d WHERE d.id = ANY (ARRAY (SELECT id FROM picked))
)
SELECT id, died_at, true AS done FROM picked ORDER BY died_at, id
