-- What the limits of a queue leave: slots and tokens (NULL: as many as there are). Runs after lock_key.sql has locked
-- the queue, in the same transaction.
SELECT q.concurrency - (
           SELECT count(*)
           FROM (SELECT FROM pgjobs.jobs_live AS v
                 WHERE v.counted_queue = %(queue)s AND v.status = 'running'
                 LIMIT q.concurrency) AS running
       ) AS slots,
       pgjobs.bucket_tokens(t.tokens, t.at, q.rate, q.period, q.burst) AS tokens
FROM pgjobs.queues AS q
LEFT JOIN pgjobs.buckets AS t ON t.kind = 'queue' AND t.name = q.name
WHERE q.name = %(queue)s
