-- Jobs, live and finished, the newest first; every filter may be NULL. `tasks` are LIKE patterns. History is looked at
-- day by day, because a statement that reads it as a whole locks every day and each of its indexes. Live jobs have a
-- limit of their own: without it all of them would be read and sorted.
SELECT id, status, queue, priority, task, summary, attempt, max_attempts, prior_attempts,
       run_at, enqueued_at, started_at, finished_at, worker_id, error, meta
FROM ((SELECT *
      FROM pgjobs.jobs
      WHERE status IN ('waiting', 'queued', 'running')
        AND (%(status)s::text IS NULL OR status = %(status)s::text)
        AND (%(queue)s::text IS NULL OR queue = %(queue)s::text)
        AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
        AND (%(before)s::bigint IS NULL OR id < %(before)s::bigint)
      ORDER BY id DESC
      LIMIT %(limit)s)
      UNION ALL
      SELECT *
      FROM pgjobs.list_ended(%(status)s::text, %(queue)s::text, %(tasks)s::text[], %(before)s::bigint,
                             %(limit)s::bigint)
      WHERE %(status)s::text IS NULL OR %(status)s::text IN ('completed', 'failed', 'cancelled')) AS found
ORDER BY id DESC
LIMIT %(limit)s
