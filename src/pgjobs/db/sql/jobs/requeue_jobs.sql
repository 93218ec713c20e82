-- Finished → queued, due now, under the same id. The number of the attempt continues, and so does `claims`, the
-- fencing token; `prior_attempts` says where the fresh budget begins. Near the largest number of attempts it shrinks,
-- down to one. A dead letter goes, and its errors are kept. Letters are locked before history, as in replay_dead.sql:
-- otherwise two transactions could wait for each other. The count makes history wait for the locks. `ended_at` are the
-- times of the newest rows (see find_ended.sql): an older row may be of another job that had the same id.
WITH locked AS MATERIALIZED (
    SELECT id, ends_sequence FROM pgjobs.dead_jobs WHERE id = ANY (%(ids)s::bigint[]) ORDER BY id FOR UPDATE
), gone AS (
    DELETE FROM pgjobs.jobs_history AS h
    WHERE h.id = ANY (%(ids)s::bigint[])
      AND (h.finished_at = ANY (%(ended_at)s::timestamptz[]) OR h.finished_at IS NULL)
      AND (SELECT count(*) FROM locked) >= 0
      -- Their sequences have to end first: see end_sequences.sql.
      AND h.id NOT IN (SELECT id FROM locked WHERE ends_sequence)
      AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = h.id)
      AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS j WHERE j.id = h.id)
    RETURNING h.*
), letters AS (
    DELETE FROM pgjobs.dead_jobs AS d USING gone WHERE d.id = gone.id RETURNING d.id AS letter_id, d.errors AS diagnosis
), results AS (
    -- What it returned the last time: a wait from now on is for what comes.
    DELETE FROM pgjobs.results AS r USING gone WHERE r.job_id = gone.id
), unsettled AS (
    -- What a cancelled job waited for may have ended meanwhile, or be about to: settle_dependencies.sql looks.
    UPDATE pgjobs.dependencies AS d SET settled = false FROM gone WHERE d.job_id = gone.id AND d.settled
), back AS (
    INSERT INTO pgjobs.jobs (
        {kept_columns}, {flow_columns}, claims, error, error_kind, run_at, attempt, max_attempts,
        prior_attempts, status, errors, dependents, needs, held)
    SELECT DISTINCT ON (id)
           {kept_columns}, {flow_columns}, claims, error, error_kind, now(), least(attempt, 999999999),
           least(attempt + greatest(max_attempts::bigint - coalesce(prior_attempts, 0), 1), 1000000000),
           CASE WHEN attempt > 0 OR prior_attempts IS NOT NULL THEN least(attempt, 999999999) END,
           CASE WHEN lane IS NULL AND n.needed IS NULL THEN 'queued' ELSE 'waiting' END,
           coalesce(errors, diagnosis),
           CASE WHEN EXISTS (SELECT FROM pgjobs.dependencies AS d WHERE d.needs_id = gone.id) THEN true END,
           n.needed, CASE WHEN n.needed IS NOT NULL THEN 'needs' END
    FROM gone
    LEFT JOIN letters ON letter_id = gone.id
    CROSS JOIN LATERAL (
        -- A job that was cancelled before the others had ended waits for them again.
        SELECT nullif(count(*), 0)::int AS needed FROM pgjobs.dependencies AS d WHERE d.job_id = gone.id
    ) AS n
    ORDER BY id, attempt DESC
    ON CONFLICT DO NOTHING
    RETURNING id, queue
)
SELECT id, queue
FROM back
WHERE pgjobs.all_kept((SELECT count(DISTINCT gone.id) FROM gone), (SELECT count(*) FROM back))
