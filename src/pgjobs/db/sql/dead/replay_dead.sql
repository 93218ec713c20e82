-- Locked dead letters (see pick_dead.sql) → queued, due now, or one after another, `spacing` seconds apart, behind as
-- many as `places`; the INSERT rings the doorbell. Several transactions may do this at once: letters are locked before
-- history, as in requeue_jobs.sql. The number of the attempt continues, and so does `claims`, the fencing token;
-- `prior_attempts` says where the fresh budget begins. Near the largest number of attempts the budget shrinks, down to
-- one. The job's failed row leaves history; `finished_at` is in both, and `ended_at` has the times of these letters,
-- which saves a search of every day. If the job is live (its status was changed by hand), only the letter goes. If
-- another job is live that was given the same id, the letter stays.
WITH picked AS MATERIALIZED (
    SELECT d.id, d.died_at,
           EXISTS (SELECT FROM pgjobs.jobs AS j
                   WHERE j.id = d.id AND j.status IN ('queued', 'waiting', 'running')
                     AND j.enqueued_at <> d.enqueued_at) AS is_taken,
           EXISTS (SELECT FROM pgjobs.jobs AS j
                   WHERE j.id = d.id AND j.status IN ('queued', 'waiting', 'running')) AS is_live
    FROM pgjobs.dead_jobs AS d
    WHERE d.id = ANY (%(ids)s::bigint[])
), order_of_death AS MATERIALIZED (
    SELECT id, now() + (%(places)s::bigint + row_number() OVER (ORDER BY died_at, id) - 1) * %(spacing)s::float8
                       * interval '1 second' AS run_at
    FROM picked WHERE NOT is_taken
), gone AS (
    DELETE FROM pgjobs.dead_jobs AS d WHERE d.id = ANY (ARRAY (SELECT id FROM picked WHERE NOT is_taken)) RETURNING d.*
), forgotten AS (
    DELETE FROM pgjobs.jobs_history AS h
    USING gone
    WHERE h.id = gone.id AND h.finished_at = gone.finished_at AND h.status = 'failed'
      AND h.finished_at = ANY (%(ended_at)s::timestamptz[])
), unsettled AS (
    -- A step that is retried with those that it needs, see wait_again.sql: as in requeue_jobs.sql.
    UPDATE pgjobs.dependencies AS d SET settled = false FROM gone WHERE d.job_id = gone.id AND d.settled
), back AS (
    INSERT INTO pgjobs.jobs (
        {kept_columns}, {flow_columns}, claims, error, error_kind, errors, run_at, attempt, max_attempts,
        prior_attempts, status, dependents, needs, held)
    SELECT {kept_columns}, {flow_columns}, claims, error, error_kind, errors, due.run_at, least(attempt, 999999999),
           least(attempt + greatest(max_attempts::bigint - coalesce(prior_attempts, 0), 1), 1000000000),
           CASE WHEN attempt > 0 OR prior_attempts IS NOT NULL THEN least(attempt, 999999999) END,
           CASE WHEN lane IS NULL AND n.needed IS NULL THEN 'queued' ELSE 'waiting' END,
           CASE WHEN EXISTS (SELECT FROM pgjobs.dependencies AS d WHERE d.needs_id = gone.id) THEN true END,
           n.needed, CASE WHEN n.needed IS NOT NULL THEN 'needs'
                          WHEN lane IS NOT NULL AND due.run_at > now() THEN 'later' END
    FROM gone
    CROSS JOIN LATERAL (SELECT o.run_at FROM order_of_death AS o WHERE o.id = gone.id) AS due
    CROSS JOIN LATERAL (
        SELECT nullif(count(*), 0)::int AS needed FROM pgjobs.dependencies AS d WHERE d.job_id = gone.id
    ) AS n
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT picked.id, picked.died_at, back.id IS NOT NULL AS done, picked.is_taken
FROM picked
LEFT JOIN back ON back.id = picked.id
WHERE pgjobs.all_kept((SELECT count(*) FROM gone JOIN picked AS p ON p.id = gone.id WHERE NOT p.is_live),
                      (SELECT count(*) FROM back))
ORDER BY picked.died_at, picked.id
