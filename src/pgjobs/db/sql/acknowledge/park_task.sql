-- Claimed → waiting, because its task is paused. The attempt does not count. The pause is locked: a transaction that
-- ends it waits, and then sees what was parked. Where it has ended, nothing is parked, and the job is handed back. A
-- job that was asked to end is left alone: see cancel.sql.
WITH paused AS MATERIALIZED (
    SELECT p.task, p.patterns
    FROM pgjobs.paused_tasks AS p
    WHERE p.task = ANY (%(tasks)s::text[])
    ORDER BY p.task
    FOR KEY SHARE
), owned AS MATERIALIZED (
    SELECT live.id, a.task AS pause
    FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[], %(tasks)s::text[]) AS a (id, claims, task)
    JOIN pgjobs.jobs_live AS live ON live.id = ANY (ARRAY[a.id])
    WHERE live.claims = a.claims AND live.status = 'running' AND live.worker_id = %(worker_id)s
      AND live.cancel_reason IS NULL
      AND a.task = ANY (ARRAY (SELECT p.task FROM paused AS p))
    FOR UPDATE OF live
), parked AS (
    UPDATE pgjobs.jobs AS live
    SET status = 'waiting', held = 'task', attempt = greatest(live.attempt - 1, 0), worker_id = NULL, started_at = NULL
    FROM owned
    WHERE live.id = ANY (ARRAY[owned.id]) AND live.status = 'running'
    RETURNING live.id, live.task, owned.pause
), widened AS (
    -- The job may have been found by an alias of its task, which only code knows: the pause covers that name from now
    -- on, so that it is not put back as long as the pause lasts.
    UPDATE pgjobs.paused_tasks AS p
    SET patterns = p.patterns || n.patterns
    FROM (SELECT parked.pause,
                 array_agg(DISTINCT regexp_replace(parked.task, E'([\\\\%%_])', E'\\\\\\1', 'g')) AS patterns
          FROM parked
          JOIN paused ON paused.task = parked.pause
          WHERE NOT parked.task LIKE ANY (paused.patterns)
          GROUP BY parked.pause) AS n
    WHERE p.task = n.pause
)
SELECT id, false AS controlled
FROM parked
WHERE pgjobs.all_kept((SELECT count(*) FROM owned), (SELECT count(*) FROM parked))
