-- After mark_awaited.sql, with a newer snapshot: dependencies whose needed job is marked are settled. Returns the jobs
-- that have ended meanwhile, and how; one that left no row counts as completed, if it was seen when the dependency
-- was made. If it was not (`in_doubt`), all transactions that might have inserted it have to end first: see
-- mark_awaited.sql.
-- A number above that of this transaction comes from another server, whose transactions have ended.
--
-- Where more are left than one statement looks at, the last row says after which to continue; its `completed` is NULL.
WITH wanted AS MATERIALIZED (
    SELECT d.needs_id, d.job_id, d.in_doubt
    FROM pgjobs.dependencies AS d
    WHERE NOT d.settled AND d.needs_id > %(after)s
      AND CASE WHEN d.in_doubt IS NULL THEN true
               WHEN d.in_doubt = 0 THEN false
               WHEN d.in_doubt <= (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint) THEN true
               ELSE d.in_doubt > (SELECT pg_current_xact_id()::text::bigint) END
    ORDER BY d.needs_id
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
), ends AS MATERIALIZED (
    SELECT DISTINCT w.needs_id
    FROM wanted AS w
    WHERE NOT EXISTS (SELECT FROM pgjobs.jobs AS j
                      WHERE j.id = w.needs_id AND j.status IN ('waiting', 'queued', 'running'))
), known AS MATERIALIZED (
    -- NULL: a transaction is about to requeue the job, whose row is then marked like any other.
    -- What is written of a step is true, where history has only that it was cancelled (it was skipped), or nothing.
    SELECT e.id AS needs_id,
           CASE WHEN e.completed IS NOT NULL
                THEN coalesce((SELECT s.status IN ('completed', 'skipped') FROM pgjobs.workflow_steps AS s
                               WHERE s.job_id = e.id), e.completed) END AS completed
    FROM pgjobs.hold_ended(ARRAY (SELECT needs_id FROM ends)) AS e
), settled AS (
    UPDATE pgjobs.dependencies AS d
    SET settled = w.is_settled, in_doubt = NULL
    FROM (SELECT needs_id, job_id, in_doubt,
                 needs_id IN (SELECT needs_id FROM known WHERE completed IS NOT NULL)
                 OR EXISTS (SELECT FROM pgjobs.jobs AS j
                            WHERE j.id = wanted.needs_id AND j.status IN ('waiting', 'queued', 'running')
                              AND j.dependents) AS is_settled
          FROM wanted) AS w
    WHERE d.needs_id = w.needs_id AND d.job_id = w.job_id AND (w.is_settled OR w.in_doubt IS NOT NULL)
)
SELECT needs_id, completed FROM known WHERE completed IS NOT NULL
UNION ALL
SELECT max(needs_id), NULL FROM wanted HAVING count(*) = 1000
