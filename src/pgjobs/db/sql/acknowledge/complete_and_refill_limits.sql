-- Acknowledge: running → completed, as complete_with_flow.sql does for jobs that no others wait for; and claim as many
-- in the same lanes, which have a limit and nothing else: waiting → running, by this worker. So these start without a
-- claim of their own.
--
-- What ends makes room for what starts, in one statement: each snapshot has the one or the other, so a limit is not
-- exceeded, and no lock of it is needed. Where there is more to look at, nothing is claimed, and a claim decides:
-- rates, the limit of a queue, pauses. Of a limit that was lowered, fewer are claimed: its lanes share what is left.
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
), ended AS MATERIALIZED (
    SELECT d.queue, d.priority, d.lane, d.limit_key, count(*) AS jobs,
           -- Ended in this lane of the limit and in those behind it: lanes before it take as many as ended in them.
           sum(count(*)) OVER (PARTITION BY d.limit_key
                               ORDER BY d.queue DESC, d.priority DESC, d.lane DESC) AS left_over
    FROM done AS d
    WHERE d.counted_queue IS NULL
      AND NOT EXISTS (SELECT FROM pgjobs.queues AS q
                      WHERE q.name = d.queue AND (q.paused OR coalesce(q.concurrency, q.rate) IS NOT NULL))
      AND NOT coalesce((SELECT s.paused FROM pgjobs.switch AS s WHERE s.one), false)
      AND NOT EXISTS (SELECT FROM pgjobs.paused_tasks)
      AND EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = %(worker_id)s)
    GROUP BY 1, 2, 3, 4
), next AS MATERIALIZED (
    SELECT due.ctid
    FROM ended AS e
    JOIN pgjobs.limits AS m
      ON m.name = coalesce((SELECT l.name FROM pgjobs.limits AS l WHERE l.name = e.limit_key),
                           pgjobs.pattern_of(e.limit_key))
    CROSS JOIN LATERAL (
        SELECT least(e.jobs, m.concurrency - count(*) + e.left_over) AS jobs
        FROM (SELECT FROM pgjobs.jobs_live AS v
              WHERE v.limit_key = e.limit_key AND v.status = 'running'
              LIMIT m.concurrency + 1000) AS running
    ) AS room
    CROSS JOIN LATERAL (
        SELECT w.ctid
        FROM pgjobs.jobs_waiting AS w
        WHERE m.rate IS NULL
          AND w.queue = e.queue AND w.priority = e.priority AND w.lane = e.lane AND w.held IS NULL
          AND w.run_at <= now() AND (w.expires_at > now()) IS NOT FALSE
        ORDER BY w.run_at, w.id
        LIMIT greatest(room.jobs, 0)
        FOR UPDATE SKIP LOCKED
    ) AS due
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
