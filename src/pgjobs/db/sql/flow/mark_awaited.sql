-- After a job that waits for others was committed: mark those others, as far as they have not ended. A row that
-- another transaction holds is left for the next time.
--
-- A needed job that had no row when it was looked for (`in_doubt` is 0) may have completed, or may have been inserted
-- by a transaction that has not committed. That one had its number before the dependency was committed. So the number
-- of this transaction, which comes after it, is written down. Such a dependency is looked at once all transactions
-- before that number have ended. This has to be the first statement of its transaction, which then has no number yet.
WITH doubted AS (
    UPDATE pgjobs.dependencies AS d
    SET in_doubt = pg_current_xact_id()::text::bigint
    FROM (SELECT u.needs_id, u.job_id FROM pgjobs.dependencies AS u
          WHERE NOT u.settled AND u.in_doubt = 0
          ORDER BY u.needs_id
          LIMIT 1000
          FOR UPDATE SKIP LOCKED) AS fresh
    WHERE d.needs_id = fresh.needs_id AND d.job_id = fresh.job_id
), wanted AS MATERIALIZED (
    SELECT DISTINCT d.needs_id
    FROM (SELECT u.needs_id FROM pgjobs.dependencies AS u
          WHERE NOT u.settled AND u.in_doubt IS NULL AND u.needs_id > %(after)s
          ORDER BY u.needs_id LIMIT 1000) AS d
), free AS MATERIALIZED (
    SELECT j.id
    FROM pgjobs.jobs AS j
    WHERE j.id = ANY (ARRAY (SELECT needs_id FROM wanted)) AND j.status IN ('waiting', 'queued', 'running')
      AND j.dependents IS NULL
    ORDER BY j.id
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE pgjobs.jobs AS j
SET dependents = true
WHERE j.id = ANY (ARRAY (SELECT id FROM free)) AND j.status IN ('waiting', 'queued', 'running')
