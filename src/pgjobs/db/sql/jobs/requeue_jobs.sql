-- Finished → queued, due now, under the same id. The number of the attempt continues, and so does `claims`, the
-- fencing token; `prior_attempts` says where the fresh budget begins. Near the largest number of attempts it shrinks,
-- down to one. A dead letter goes, and its errors are kept. Letters are locked before history, as in replay_dead.sql:
-- otherwise two transactions could wait for each other. The count makes history wait for the locks.
WITH locked AS MATERIALIZED (
    SELECT id FROM pgjobs.dead_jobs WHERE id = ANY (%(ids)s::bigint[]) ORDER BY id FOR UPDATE
), gone AS (
    DELETE FROM pgjobs.jobs_history AS h
    WHERE h.id = ANY (%(ids)s::bigint[]) AND (SELECT count(*) FROM locked) >= 0
    RETURNING h.*
), letters AS (
    DELETE FROM pgjobs.dead_jobs AS d USING gone WHERE d.id = gone.id RETURNING d.id, d.errors
)
INSERT INTO pgjobs.jobs (
    id, run_at, enqueued_at, claims, attempt, max_attempts, prior_attempts, timeout, priority, status, queue, task,
    executor, summary, error, error_kind, signature, payload, errors, meta, lane, limit_key, cost, sequence, on_failure, breaker,
    dependents, needs, held)
SELECT DISTINCT ON (gone.id)
       gone.id, now(), gone.enqueued_at, gone.claims, least(gone.attempt, 999999999),
       least(gone.attempt + greatest(gone.max_attempts::bigint - coalesce(gone.prior_attempts, 0), 1), 1000000000),
       least(gone.attempt, 999999999), gone.timeout, gone.priority,
       CASE WHEN gone.lane IS NULL AND n.needs IS NULL THEN 'queued' ELSE 'waiting' END, gone.queue, gone.task, gone.executor,
       gone.summary, gone.error, gone.error_kind, gone.signature, gone.payload, coalesce(gone.errors, letters.errors), gone.meta, gone.lane,
       gone.limit_key, gone.cost, gone.sequence, gone.on_failure, gone.breaker,
       CASE WHEN EXISTS (SELECT FROM pgjobs.dependencies AS d WHERE d.needs_id = gone.id) THEN true END,
       n.needs, CASE WHEN n.needs IS NOT NULL THEN 'needs' END
FROM gone
LEFT JOIN letters ON letters.id = gone.id
CROSS JOIN LATERAL (
    -- A job that was cancelled before the others had ended waits for them again.
    SELECT nullif(count(*), 0)::int AS needs FROM pgjobs.dependencies AS d WHERE d.job_id = gone.id
) AS n
ORDER BY gone.id, gone.attempt DESC
ON CONFLICT DO NOTHING
RETURNING id, queue
