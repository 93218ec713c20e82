-- What happened in queues ('': in all together), or in a task of theirs, in steps of some seconds: by the key of the
-- minutes. The time is given, so that no older day is read.
SELECT m.queue::text AS queue,
       (floor(extract(epoch FROM m.minute) / %(step)s::float8) * %(step)s::float8)::float8 AS at,
       bool_or(m.sampled) AS sampled, max(m.latency)::float8 AS latency, max(m.due) AS due, max(m.running) AS running,
       max(m.waiting) AS waiting, max(m.enqueued) AS enqueued, sum(m.completed)::float8 AS completed,
       sum(m.failed)::float8 AS failed, sum(m.cancelled)::float8 AS cancelled, sum(m.retried)::float8 AS retried,
       max(m.slots)::float8 AS slots, sum(m.busy)::float8 AS busy
FROM pgjobs.queue_minutes AS m
WHERE m.queue = ANY (CAST(%(queues)s AS text[])) AND m.task = CAST(%(task)s AS text)
  AND m.minute >= CAST(%(since)s AS timestamptz)
GROUP BY m.queue, at
ORDER BY m.queue, at
