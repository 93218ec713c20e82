-- Change jobs that have not started; NULL leaves a column as it is. Rows that another transaction has locked are
-- skipped, so this never waits. A job that takes turns is held until it is due, if nothing else holds it. A signed job
-- changes its queue only with a new signature.
WITH picked AS MATERIALIZED (
    SELECT j.id, a.signature
    FROM pgjobs.jobs AS j
    LEFT JOIN unnest(%(signed)s::bigint[], %(signatures)s::bytea[]) AS a (id, signature) ON a.id = j.id
    WHERE j.id = ANY (%(ids)s::bigint[]) AND j.status IN ('queued', 'waiting')
      AND (%(queue)s::text IS NULL OR j.queue = %(queue)s::text OR j.signature IS NULL OR a.signature IS NOT NULL)
    FOR UPDATE OF j SKIP LOCKED
), due AS (
    SELECT coalesce(%(run_at)s::timestamptz, now() + %(delay)s::float8 * interval '1 second') AS run_at
)
UPDATE pgjobs.jobs AS j
SET priority = coalesce(%(priority)s::smallint, j.priority),
    queue = coalesce(%(queue)s::text, j.queue),
    signature = coalesce(picked.signature, j.signature),
    run_at = coalesce(due.run_at, j.run_at),
    held = CASE WHEN due.run_at IS NULL OR j.status = 'queued' OR j.held IN ('needs', 'task') THEN j.held
                WHEN due.run_at > now() THEN 'later' END
FROM picked, due
WHERE j.id = picked.id AND j.status IN ('queued', 'waiting')
RETURNING j.id, j.queue
