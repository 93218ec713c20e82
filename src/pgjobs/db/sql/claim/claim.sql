-- Claim up to %(demand)s due jobs of one queue: queued → running.
--
-- The arrays say where to start for each priority: where the producer left off, and not at the beginning of the index,
-- because the entries before are mostly dead. A sweep reads some of those, up to a time. The lateral join stops once
-- the batch is full, so nothing is locked in vain, and a lower priority is read only when the higher ones are used up.
-- A paused queue returns nothing, nor does any queue while everything is paused, nor one that has got a limit which
-- this claim does not know of; a worker that was considered dead gets nothing either (one-time filters: one look-up per
-- batch). `queue <> ''` is always true; it is the condition of the index, so that no other statement can use it.
WITH picked AS MATERIALIZED (
    SELECT j.ctid
    FROM unnest(%(priorities)s::smallint[], %(run_ats)s::timestamptz[], %(ids)s::bigint[], %(untils)s::timestamptz[])
         AS f (priority, run_at, id, until)
    CROSS JOIN LATERAL (
        SELECT live.ctid
        FROM pgjobs.jobs_live AS live
        WHERE live.queue = %(queue)s AND live.queue <> ''
          AND live.status = 'queued'
          AND live.priority = f.priority
          AND live.run_at <= least(now(), f.until)
          AND (live.run_at, live.id) >= (f.run_at, f.id)
        ORDER BY live.run_at, live.id
        LIMIT %(demand)s
        FOR UPDATE SKIP LOCKED
    ) AS j
    WHERE NOT coalesce((SELECT q.paused OR coalesce(q.concurrency, q.rate) IS NOT NULL
                               AND %(counted_queue)s::text IS NULL
                        FROM pgjobs.queues AS q WHERE q.name = %(queue)s), false)
      AND NOT coalesce((SELECT s.paused FROM pgjobs.switch AS s WHERE s.one), false)
      AND EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = %(worker_id)s)
    LIMIT %(demand)s
)
UPDATE pgjobs.jobs_live AS live
SET status = 'running', attempt = least(live.attempt + 1, 1000000000), claims = mod(live.claims, 2000000000) + 1,
    worker_id = %(worker_id)s, started_at = now(), counted_queue = %(counted_queue)s::text
WHERE live.ctid = ANY (ARRAY (SELECT ctid FROM picked))
RETURNING live.id, live.claims AS claim_number, live.attempt, live.max_attempts, live.prior_attempts, live.priority,
          live.run_at, live.task, live.executor, live.isolate, live.timeout, live.signature, live.payload, live.meta
