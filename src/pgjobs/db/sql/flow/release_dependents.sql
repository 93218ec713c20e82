-- Jobs have ended: the jobs that wait for them need one less, and continue when they need none: to `queued`, or to
-- waiting for their turn. %(completed)s: how they ended; a job that waits for one that failed or was cancelled
-- continues only if its options say so. Runs in the transaction that writes the end, so that it is never lost. Rows
-- are locked in the order of their ids, because several jobs that the same job waits for may end at once.
--
-- A job that does not wait keeps its dependencies: it was cancelled, and if it is run again, requeue_jobs.sql has them
-- settled anew. To delete one here would be lost on a transaction that is just counting them. Job 0 stands for a
-- workflow, see complete_within.sql.
--
-- `(… IN (SELECT …)) IS TRUE` is looked up in a hash. Without it, it would be a join, and the plans of workers join by
-- looking up each row, or all of them: 10,000 jobs that wait for one took a minute.
--
-- %(patient)s: wait for rows that another transaction has locked. Without patience their dependencies are marked as not
-- settled: settle_dependencies.sql finds them, for as long as it takes. `status`: NULL for those.
WITH needed AS MATERIALIZED (
    SELECT d.needs_id, d.job_id
    FROM pgjobs.dependencies AS d
    WHERE d.needs_id = ANY (%(ids)s::bigint[]) AND (%(completed)s OR d.on_failure = 'run')
), locked AS MATERIALIZED (
    SELECT waited.id
    FROM (SELECT w.id
          FROM pgjobs.jobs_waiting AS w
          WHERE %(patient)s::boolean AND w.id = ANY (ARRAY (SELECT job_id FROM needed)) AND w.held = 'needs'
          ORDER BY w.id
          FOR UPDATE) AS waited
    UNION ALL
    SELECT free.id
    FROM (SELECT w.id
          FROM pgjobs.jobs_waiting AS w
          WHERE NOT %(patient)s::boolean AND w.id = ANY (ARRAY (SELECT job_id FROM needed)) AND w.held = 'needs'
          ORDER BY w.id
          FOR UPDATE SKIP LOCKED) AS free
), met AS (
    DELETE FROM pgjobs.dependencies AS d
    USING needed AS n
    WHERE d.needs_id = n.needs_id AND d.job_id = n.job_id
      AND (n.job_id = 0 OR n.job_id IN (SELECT id FROM locked)) IS TRUE
    RETURNING d.job_id
), later AS (
    UPDATE pgjobs.dependencies AS d
    SET settled = false
    FROM needed AS n
    WHERE d.needs_id = n.needs_id AND d.job_id = n.job_id
      AND NOT %(patient)s::boolean AND n.job_id NOT IN (SELECT id FROM locked)
      AND EXISTS (SELECT FROM pgjobs.jobs_waiting AS w WHERE w.id = n.job_id AND w.held = 'needs')
    RETURNING d.job_id
), counted AS (
    SELECT job_id, count(*)::int AS n FROM met GROUP BY job_id
), moved AS (
    UPDATE pgjobs.jobs AS j
    SET needs = greatest(j.needs - c.n, 0),
        status = CASE WHEN j.needs > c.n OR j.lane IS NOT NULL THEN 'waiting' ELSE 'queued' END,
        held = CASE WHEN j.needs > c.n THEN 'needs' WHEN j.lane IS NOT NULL AND j.run_at > now() THEN 'later' END,
        run_at = CASE WHEN j.needs > c.n THEN j.run_at ELSE greatest(j.run_at, now()) END
    FROM counted AS c
    WHERE j.id = c.job_id AND j.status = 'waiting'
    RETURNING j.id, j.queue, j.status, j.held
)
SELECT id, queue, status, held
FROM moved
WHERE pgjobs.all_kept((SELECT count(*) FROM locked), (SELECT count(*) FROM moved))
UNION ALL
SELECT DISTINCT job_id, NULL, NULL, NULL FROM later
