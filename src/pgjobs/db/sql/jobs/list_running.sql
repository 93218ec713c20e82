-- Some of the jobs that run, the newest start first: those among the first of their queues and priorities, where claims
-- take them from. Index look-ups only, where a table has too many jobs to be read for it.
SELECT id, status, queue, priority, task, summary, attempt, max_attempts, prior_attempts,
       run_at, enqueued_at, started_at, finished_at, worker_id, error, meta
FROM unnest(CAST(%(queues)s AS text[])) AS names (name)
CROSS JOIN LATERAL (
    SELECT *
    FROM pgjobs.jobs_live AS live
    WHERE live.queue = names.name AND live.queue <> ''
    ORDER BY live.priority, live.run_at, live.id
    LIMIT %(scan)s) AS first
WHERE first.status = 'running'
ORDER BY first.started_at DESC NULLS LAST, first.id DESC
LIMIT %(limit)s
