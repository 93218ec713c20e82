-- Jobs, live and finished, the newest first; every filter may be NULL. `tasks` are LIKE patterns.
SELECT id, status, queue, priority, task, summary, attempt, max_attempts, prior_attempts,
       run_at, enqueued_at, started_at, finished_at, worker_id, error, meta
FROM pgjobs.jobs
WHERE (%(status)s::text IS NULL OR status = %(status)s::text)
  AND (%(queue)s::text IS NULL OR queue = %(queue)s::text)
  AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
  AND (%(before)s::bigint IS NULL OR id < %(before)s::bigint)
ORDER BY id DESC
LIMIT %(limit)s
