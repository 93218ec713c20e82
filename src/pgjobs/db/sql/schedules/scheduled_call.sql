-- What a schedule enqueues.
SELECT queue, priority, max_attempts, timeout, executor, task, meta, summary, options, signature, payload
FROM pgjobs.schedules
WHERE name = %(schedule)s
