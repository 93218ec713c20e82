-- Write how queues stood at the end of a minute.
INSERT INTO pgjobs.queue_minutes (minute, queue, latency, due, later, waiting, running)
SELECT %(minute)s::timestamptz, queue, latency, due, later, waiting, running
FROM unnest(%(queues)s::text[], %(latencies)s::real[], %(due)s::integer[], %(later)s::integer[],
            %(waiting)s::integer[], %(running)s::integer[]) AS g (queue, latency, due, later, waiting, running)
ORDER BY queue COLLATE "C"
ON CONFLICT (queue, task, minute) DO UPDATE
SET latency = excluded.latency, due = excluded.due, later = excluded.later, waiting = excluded.waiting,
    running = excluded.running
