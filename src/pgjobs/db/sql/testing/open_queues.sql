-- The queues in which a test has jobs that may run, now or later, in the order of their first jobs.
SELECT j.queue
FROM pgjobs.jobs AS j
WHERE j.status IN ('queued', 'waiting')
GROUP BY j.queue
ORDER BY min(j.id)
