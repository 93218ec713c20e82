-- Acknowledge: running → completed, for a whole flush. The rows move from the live partition into history.
-- Worker and claim are the fence: a worker that was considered dead cannot overwrite what came after.
--
-- One index scan finds all ids; the claims are then looked up in a hash table (CASE keeps the planner from turning that
-- into a join, which would descend the index once for each id). Nothing is returned: see not_completed.sql.
-- Jobs that others wait for, and jobs that had to wait for their turn, are left to complete_with_flow.sql: only the
-- columns that a plain job uses are moved here.
WITH done AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[])
      AND live.status = 'running' AND live.worker_id = %(worker_id)s AND live.dependents IS NULL
      AND CASE WHEN (live.id, live.claims) IN (
              SELECT a.id, a.claims FROM unnest(%(ids)s::bigint[], %(claims)s::int[]) AS a (id, claims)
          ) THEN true END
    RETURNING live.id, live.run_at, live.enqueued_at, live.started_at, live.worker_id, live.claims, live.attempt,
              live.max_attempts, live.prior_attempts, live.timeout, live.priority, live.queue, live.task,
              live.executor, live.summary, live.error, live.error_kind, live.signature, live.payload, live.errors,
              live.meta
)
INSERT INTO pgjobs.jobs_history (
    id, run_at, enqueued_at, started_at, finished_at, worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
    priority, status, queue, task, executor, summary, error, error_kind, signature, payload, errors, meta)
SELECT id, run_at, enqueued_at, started_at, now(), worker_id, claims, attempt, max_attempts, prior_attempts, timeout,
       priority, 'completed', queue, task, executor, summary, error, error_kind, signature, payload, errors, meta
FROM done
