-- The tasks of a queue of which the most attempts ended since a time: by the key of the minutes.
SELECT m.task::text AS task, sum(m.completed)::bigint AS completed, sum(m.failed)::bigint AS failed,
       sum(m.cancelled)::bigint AS cancelled, sum(m.retried)::bigint AS retried
FROM pgjobs.queue_minutes AS m
WHERE m.queue = CAST(%(queue)s AS text) AND m.task > '' AND m.minute >= CAST(%(since)s AS timestamptz)
GROUP BY m.task
ORDER BY sum(m.completed + m.failed + m.cancelled + m.retried) DESC, m.task
LIMIT %(limit)s
