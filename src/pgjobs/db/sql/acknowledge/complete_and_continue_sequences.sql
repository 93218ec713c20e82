-- Acknowledge: running → completed, as complete_with_flow.sql does for jobs that no others wait for; and claim what
-- comes next in each of their sequences: waiting → running, by this worker. So it starts without a claim of its own.
--
-- One statement ends the one and starts the other: each snapshot has either of them, so no lock of the sequence is
-- needed.
-- Where there is more to look at, nothing is claimed, and a claim decides: the limit of a queue, pauses, a job that
-- waits in another lane (with a limit, a tenant or a breaker, in another queue or priority).
--
-- The last row, whose `claim_number` is NULL, says how many have completed.
WITH done AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[])
      AND live.status = 'running' AND live.worker_id = %(worker_id)s AND live.dependents IS NULL
      AND CASE WHEN (live.id, live.claims) IN (
              SELECT a.id, a.claims FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[]) AS a (id, claims)
          ) THEN true END
    RETURNING {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, live.counted_queue
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, 'completed', now()
    FROM done
    RETURNING 1
), next AS MATERIALIZED (
    SELECT head.ctid
    FROM done AS d
    CROSS JOIN LATERAL (
        SELECT w.ctid
        FROM pgjobs.jobs_waiting AS w
        WHERE w.id = (SELECT f.id FROM pgjobs.jobs_waiting AS f WHERE f.sequence = d.sequence ORDER BY f.id LIMIT 1)
          AND w.queue = d.queue AND w.lane = d.lane AND w.priority = d.priority
          AND w.held IS NULL AND w.run_at <= now() AND (w.expires_at > now()) IS NOT FALSE
          AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS v
                          WHERE v.sequence = d.sequence AND v.id NOT IN (SELECT id FROM done))
          AND NOT EXISTS (SELECT FROM pgjobs.blocking_letters(d.sequence))
        FOR UPDATE SKIP LOCKED
    ) AS head
    WHERE d.counted_queue IS NULL
      AND NOT EXISTS (SELECT FROM pgjobs.queues AS q
                      WHERE q.name = d.queue AND (q.paused OR coalesce(q.concurrency, q.rate) IS NOT NULL))
      AND NOT coalesce((SELECT s.paused FROM pgjobs.switch AS s WHERE s.one), false)
      AND NOT EXISTS (SELECT FROM pgjobs.paused_tasks)
      AND EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = %(worker_id)s)
), gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w WHERE w.ctid = ANY (ARRAY (SELECT ctid FROM next)) RETURNING w.*
), ran AS (
    INSERT INTO pgjobs.jobs_live (
        {kept_columns}, {flow_columns}, run_at, max_attempts, prior_attempts, isolate, error, error_kind, errors,
        expires_at, dependents, started_at, worker_id, claims, attempt, status)
    SELECT {kept_columns}, {flow_columns}, run_at, max_attempts, prior_attempts, isolate, error, error_kind, errors,
           expires_at, dependents, now(), %(worker_id)s, mod(claims, 2000000000) + 1, least(attempt + 1, 1000000000),
           'running'
    FROM gone
    RETURNING id, claims AS claim_number, attempt, max_attempts, prior_attempts, priority, run_at, task, executor,
              isolate, timeout, signature, payload, meta, lane, breaker, queue
)
SELECT * FROM ran
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM ran))
UNION ALL
SELECT k.jobs, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM (SELECT count(*) AS jobs FROM kept) AS k
WHERE pgjobs.all_kept((SELECT count(*) FROM done), k.jobs)
