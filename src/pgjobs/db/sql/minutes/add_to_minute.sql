-- Add what the processes of one supervisor have done to the minute before this one: a row for each queue, for tasks of
-- it, and for all of it. `totals`: also to the totals that `pgjobs metrics` serves. In the order of the keys, so that
-- supervisors who do this at once do not lock each other up.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(%(queues)s::text[], %(tasks)s::text[], %(completed)s::bigint[], %(failed)s::bigint[],
                         %(cancelled)s::bigint[], %(retried)s::bigint[], %(slots)s::real[], %(busy)s::real[],
                         %(run_seconds)s::float8[], %(wait_seconds)s::float8[], %(runs)s::text[], %(waits)s::text[])
        AS g (queue, task, completed, failed, cancelled, retried, slots, busy, run_seconds, wait_seconds, runs, waits)
    ORDER BY queue COLLATE "C", task COLLATE "C"
), totals AS (
    INSERT INTO pgjobs.finished_totals AS t (queue, task, completed, failed, cancelled, retried)
    SELECT queue, task, completed, failed, cancelled, retried
    FROM given
    WHERE %(totals)s AND task <> '' AND completed + failed + cancelled + retried > 0
    ON CONFLICT (queue, task) DO UPDATE
    SET completed = t.completed + excluded.completed, failed = t.failed + excluded.failed,
        cancelled = t.cancelled + excluded.cancelled, retried = t.retried + excluded.retried
)
INSERT INTO pgjobs.queue_minutes AS m (minute, queue, task, completed, failed, cancelled, retried, slots, busy,
                                       run_seconds, wait_seconds, runs, waits)
SELECT date_trunc('minute', now()) - interval '1 minute', queue, task, completed, failed, cancelled, retried, slots,
       busy, run_seconds, wait_seconds, runs::integer[], waits::integer[]
FROM given
ON CONFLICT (queue, task, minute) DO UPDATE
SET completed = m.completed + excluded.completed, failed = m.failed + excluded.failed,
    cancelled = m.cancelled + excluded.cancelled, retried = m.retried + excluded.retried,
    slots = m.slots + excluded.slots, busy = m.busy + excluded.busy,
    run_seconds = m.run_seconds + excluded.run_seconds, wait_seconds = m.wait_seconds + excluded.wait_seconds,
    runs = ARRAY (SELECT coalesce(a, 0) + coalesce(b, 0)
                  FROM unnest(m.runs, excluded.runs) WITH ORDINALITY AS u (a, b, n) ORDER BY n),
    waits = ARRAY (SELECT coalesce(a, 0) + coalesce(b, 0)
                   FROM unnest(m.waits, excluded.waits) WITH ORDINALITY AS u (a, b, n) ORDER BY n)
