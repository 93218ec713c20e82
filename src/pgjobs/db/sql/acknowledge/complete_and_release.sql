-- Acknowledge: running → completed, for jobs that others wait for, with all that follows from that: it does what
-- complete_with_flow.sql, release_dependents.sql and count_steps.sql do, in one statement, for the case that happens
-- most: they have completed, and rows that others have locked are waited for. Each row is looked up and written once.
--
-- What needs no others any longer, and need not wait for its turn, is `queued`; or it is claimed here, and runs at
-- once: up to %(rooms)s jobs of each of these %(queues)s. As in complete_and_continue_sequences.sql, nothing is claimed
-- where there is more to look at.
--
-- %(ids)s in SELECTs of their own: the plans of workers join by looking up each row, and so one scan finds all.
-- `locked` has rows as they are once they are locked, so `needs` is right whatever others have ended meanwhile. The
-- rows that are deleted are found by their ids again, and not by the place that `locked` has seen.
--
-- Rows: the jobs that were claimed. In the last one `id` is NULL, and it has lists: which were completed, queues in
-- which jobs wait for their turn from now on, steps that are to be held, and the workflows of all, in two lists: those
-- in which something may run from now on, and the others.
WITH done AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[])
      AND live.status = 'running' AND live.worker_id = %(worker_id)s AND live.dependents IS TRUE
      AND CASE WHEN (live.id, live.claims) IN (
              SELECT a.id, a.claims FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[]) AS a (id, claims)
          ) THEN true END
    RETURNING {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, 'completed', now()
    FROM done
    RETURNING 1
), locked AS MATERIALIZED (
    SELECT w.id, w.lane IS NULL AS is_plain, coalesce(w.needs, 0) AS needs
    FROM pgjobs.jobs_waiting AS w
    WHERE w.id = ANY (ARRAY (SELECT d.job_id FROM pgjobs.dependencies AS d
                             WHERE d.needs_id = ANY (ARRAY (SELECT id FROM done))))
      AND w.held = 'needs'
    ORDER BY w.id
    FOR UPDATE
), met AS (
    DELETE FROM pgjobs.dependencies AS d
    WHERE d.needs_id = ANY (ARRAY (SELECT id FROM done))
      AND (d.job_id = 0 OR d.job_id IN (SELECT id FROM locked)) IS TRUE
    RETURNING d.job_id
), needed AS MATERIALIZED (
    SELECT u.id, bool_or(u.is_plain) AND sum(u.needs) <= 0 AS is_free, sum(u.met)::int AS met
    FROM (SELECT id, is_plain, needs, 0 AS met FROM locked
          UNION ALL
          SELECT job_id, NULL, -1, 1 FROM met WHERE job_id <> 0) AS u
    GROUP BY u.id
    HAVING sum(u.met) > 0
), gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w
    WHERE w.id = ANY (ARRAY (SELECT id FROM needed WHERE is_free))
    RETURNING w.*
), left_waiting AS (
    UPDATE pgjobs.jobs_waiting AS w
    SET needs = greatest(w.needs - n.met, 0),
        held = CASE WHEN w.needs > n.met THEN 'needs' WHEN w.run_at > now() THEN 'later' END,
        run_at = CASE WHEN w.needs > n.met THEN w.run_at ELSE greatest(w.run_at, now()) END
    FROM needed AS n
    WHERE w.id = n.id AND NOT n.is_free
    RETURNING w.id, w.queue, w.held
), freed AS MATERIALIZED (
    SELECT s.job_id, s.workflow_id,
           (SELECT w.paused_at IS NOT NULL OR w.cancelled_at IS NOT NULL
            FROM pgjobs.workflows AS w WHERE w.id = s.workflow_id) AS is_held
    FROM pgjobs.workflow_steps AS s
    WHERE s.job_id = ANY (ARRAY (SELECT id FROM gone
                                 UNION ALL
                                 SELECT id FROM left_waiting WHERE held IS DISTINCT FROM 'needs'))
      AND (s.kind IS NULL OR s.kind = 'map') AND s.status IS NULL
), chosen AS MATERIALIZED (
    SELECT c.id
    FROM (SELECT g.id, g.queue, row_number() OVER (PARTITION BY g.queue ORDER BY g.priority, g.id) AS place
          FROM gone AS g
          WHERE cardinality(%(queues)s::text[]) > 0
            AND g.run_at <= now() AND g.expires_at IS NULL
            AND (g.id IN (SELECT job_id FROM freed WHERE is_held)) IS NOT TRUE) AS c
    WHERE c.place <= (SELECT r.room FROM unnest(%(queues)s::text[], %(rooms)s::int[]) AS r (queue, room)
                      WHERE r.queue = c.queue)
      AND NOT coalesce((SELECT q.paused OR coalesce(q.concurrency, q.rate) IS NOT NULL
                        FROM pgjobs.queues AS q WHERE q.name = c.queue), false)
      AND NOT coalesce((SELECT s.paused FROM pgjobs.switch AS s WHERE s.one), false)
      AND NOT EXISTS (SELECT FROM pgjobs.paused_tasks)
      AND EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = %(worker_id)s)
), moved AS (
    INSERT INTO pgjobs.jobs_live (
        {kept_columns}, {flow_columns}, run_at, max_attempts, prior_attempts, isolate, error, error_kind, errors,
        expires_at, dependents, started_at, worker_id, claims, attempt, status)
    SELECT {kept_columns}, {flow_columns}, greatest(run_at, now()), max_attempts, prior_attempts, isolate, error,
           error_kind, errors, expires_at, dependents,
           CASE WHEN runs THEN now() ELSE started_at END, CASE WHEN runs THEN %(worker_id)s ELSE worker_id END,
           CASE WHEN runs THEN mod(claims, 2000000000) + 1 ELSE claims END,
           CASE WHEN runs THEN least(attempt + 1, 1000000000) ELSE attempt END,
           CASE WHEN runs THEN 'running' ELSE 'queued' END
    FROM (SELECT g.*, (g.id IN (SELECT id FROM chosen)) IS TRUE AS runs FROM gone AS g) AS g
    RETURNING id, claims AS claim_number, attempt, max_attempts, prior_attempts, priority, run_at, task, executor,
              isolate, timeout, signature, payload, meta, queue, status
), marked AS (
    UPDATE pgjobs.workflow_steps AS s
    SET status = 'completed'
    WHERE s.job_id = ANY (ARRAY (SELECT id FROM done))
      AND s.status IS NULL AND (s.kind IS NULL OR s.kind = 'map')
    RETURNING s.workflow_id
), changed AS MATERIALIZED (
    SELECT c.workflow_id, sum(c.active) AS active, sum(c.completed) AS completed, max(c.active) > 0 AS is_busy
    FROM (SELECT workflow_id, -1 AS active, 1 AS completed FROM marked
          UNION ALL
          SELECT workflow_id, 1, 0 FROM freed) AS c
    GROUP BY c.workflow_id
), counted AS (
    INSERT INTO pgjobs.workflow_counts AS c (workflow_id, shard, active, completed)
    SELECT workflow_id, pg_backend_pid() %% 32768, active, completed FROM changed ORDER BY workflow_id
    ON CONFLICT (workflow_id, shard) DO UPDATE
    SET active = c.active + excluded.active, completed = c.completed + excluded.completed
)
SELECT id, claim_number, attempt, max_attempts, prior_attempts, priority, run_at, task, executor, isolate, timeout,
       signature, payload, meta, NULL AS lane, NULL AS breaker, queue,
       NULL::bigint[] AS done, NULL::text[] AS bells, NULL::bigint[] AS held, NULL::bigint[] AS busy,
       NULL::bigint[] AS others
FROM moved
WHERE status = 'running'
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       ARRAY (SELECT id FROM done), ARRAY (SELECT DISTINCT queue FROM left_waiting WHERE held IS NULL),
       ARRAY (SELECT job_id FROM freed WHERE is_held),
       ARRAY (SELECT workflow_id FROM changed WHERE is_busy), ARRAY (SELECT workflow_id FROM changed WHERE NOT is_busy)
WHERE pgjobs.all_kept((SELECT count(*) FROM done), (SELECT count(*) FROM kept))
  AND pgjobs.all_kept((SELECT count(*) FROM needed), (SELECT count(*) FROM moved) + (SELECT count(*) FROM left_waiting))
