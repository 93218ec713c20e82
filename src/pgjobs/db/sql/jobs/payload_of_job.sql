-- The call of a job that has not started, or of a dead letter.
SELECT j.id, false AS is_dead, j.queue, j.task, j.executor, j.timeout, j.meta, j.payload, j.signature, j.summary
FROM pgjobs.jobs AS j
WHERE j.id = %(id)s AND j.status IN ('queued', 'waiting')
UNION ALL
SELECT d.id, true, d.queue, d.task, d.executor, d.timeout, d.meta, d.payload, d.signature, d.summary
FROM pgjobs.dead_jobs AS d
WHERE d.id = %(id)s
LIMIT 1
