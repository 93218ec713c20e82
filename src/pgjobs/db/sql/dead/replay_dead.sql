-- A batch of dead letters → queued, due now, in the order in which they died; the INSERT rings the doorbell. Several
-- transactions may do this at once: a letter that another one has locked is left to it, and letters are locked before
-- history, as in requeue_jobs.sql. The number of the attempt continues, and so does `claims`, the fencing token;
-- `prior_attempts` says where the fresh budget begins. Near the largest number of attempts the budget shrinks, down to
-- one. The job's failed row leaves history; `finished_at` is in both, which saves a search of every day. If the job is
-- live (its status was changed by hand), only the letter goes.
WITH picked AS MATERIALIZED (
    SELECT id, died_at
    FROM pgjobs.dead_jobs
    WHERE died_at <= %(until)s::timestamptz
      AND (died_at, id) > (%(after_died_at)s::timestamptz, %(after_id)s::bigint)
      AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s::bigint[]))
      AND (%(queue)s::text IS NULL OR queue = %(queue)s::text)
      AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
    ORDER BY died_at, id
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM pgjobs.dead_jobs AS d WHERE d.id = ANY (ARRAY (SELECT id FROM picked)) RETURNING d.*
), forgotten AS (
    DELETE FROM pgjobs.jobs_history AS h
    USING gone
    WHERE h.id = gone.id AND h.finished_at = gone.finished_at AND h.status = 'failed'
), back AS (
    INSERT INTO pgjobs.jobs (
        {kept_columns}, {flow_columns}, claims, error, error_kind, errors, run_at, attempt, max_attempts,
        prior_attempts, status, dependents)
    SELECT {kept_columns}, {flow_columns}, claims, error, error_kind, errors, now(), least(attempt, 999999999),
           least(attempt + greatest(max_attempts::bigint - coalesce(prior_attempts, 0), 1), 1000000000),
           least(attempt, 999999999), CASE WHEN lane IS NULL THEN 'queued' ELSE 'waiting' END,
           CASE WHEN EXISTS (SELECT FROM pgjobs.dependencies AS d WHERE d.needs_id = gone.id) THEN true END
    FROM gone
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT picked.id, picked.died_at, back.id IS NOT NULL AS done
FROM picked
LEFT JOIN back ON back.id = picked.id
ORDER BY picked.died_at, picked.id
