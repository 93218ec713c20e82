-- What the limits of a queue leave: slots and tokens (NULL: as many as there are). Run under the lock of lock_lanes.sql.
SELECT q.concurrency - (
           SELECT count(*)
           FROM (SELECT FROM pgjobs.jobs_live AS v
                 WHERE v.slot = %(queue)s AND v.status = 'running'
                 LIMIT q.concurrency) AS running
       ) AS slots,
       CASE WHEN q.rate IS NULL THEN NULL
            WHEN t.at IS NULL OR t.at > now() + interval '1 s' THEN coalesce(q.burst, greatest(q.rate, 1))
            ELSE least(coalesce(q.burst, greatest(q.rate, 1)),
                       t.tokens + q.rate * greatest(extract(epoch FROM now() - t.at)::float8, 0)
                                  / extract(epoch FROM q.period)::float8)
       END AS tokens
FROM pgjobs.queues AS q
LEFT JOIN pgjobs.buckets AS t ON t.kind = 'queue' AND t.name = q.name
WHERE q.name = %(queue)s
