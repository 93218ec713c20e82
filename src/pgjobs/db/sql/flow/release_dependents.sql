-- Jobs have ended: the jobs that wait for them need one less, and continue when they need none: to `queued`, or to
-- waiting for their turn. %(completed)s: how they ended; a job that waits for one that failed or was cancelled
-- continues only if its options say so. Runs in the transaction that writes the end, so that it is never lost. Rows
-- are locked in the order of their ids, because several jobs that the same job waits for may end at once.
WITH met AS (
    DELETE FROM pgjobs.dependencies AS d
    WHERE d.needs_id = ANY (%(ids)s::bigint[]) AND (%(completed)s OR d.on_failure = 'run')
    RETURNING d.job_id
), counted AS (
    SELECT job_id, count(*)::int AS n FROM met GROUP BY job_id
), locked AS MATERIALIZED (
    SELECT w.id
    FROM pgjobs.jobs_waiting AS w
    WHERE w.id = ANY (ARRAY (SELECT job_id FROM counted)) AND w.held = 'needs'
    ORDER BY w.id
    FOR UPDATE
), moved AS (
    UPDATE pgjobs.jobs AS j
    SET needs = greatest(j.needs - c.n, 0),
        status = CASE WHEN j.needs > c.n OR j.lane IS NOT NULL THEN 'waiting' ELSE 'queued' END,
        held = CASE WHEN j.needs > c.n THEN 'needs' WHEN j.lane IS NOT NULL AND j.run_at > now() THEN 'later' END,
        run_at = CASE WHEN j.needs > c.n THEN j.run_at ELSE greatest(j.run_at, now()) END
    FROM counted AS c
    WHERE j.id = c.job_id AND j.id = ANY (ARRAY (SELECT id FROM locked)) AND j.status = 'waiting'
    RETURNING j.id, j.queue, j.status, j.held
)
SELECT id, queue, status, held
FROM moved
WHERE pgjobs.all_kept((SELECT count(*) FROM locked), (SELECT count(*) FROM moved))
