-- Find up to %(demand)s lanes of one queue that have room and a job that is due, and lock what their jobs share. What
-- is found was so when the statement began; claim_waiting.sql, in the same transaction and after it, looks again at the
-- lanes whose keys are all locked, and sees what others have claimed.
--
-- Lanes take turns, in the order of the given ranges: lanes of one priority, from one lane up to another (NULL: to
-- the last one). All jobs of a lane wait for the same things, so a lane without room costs one look-up, however many
-- jobs it holds, and at most %(most)s lanes are read. Of a sequence only the first job can run: the one with the
-- smallest id, wherever and until whenever it waits.
--
-- `is_locked`: all keys of the lane are; `missing`: those without a row to be locked. Where the walk ended early, the
-- last row says so: its `is_locked` is NULL, and it has the number of the range in place of the priority, and the last
-- lane that was read.
WITH lanes AS MATERIALIZED (
    SELECT s.piece, s.priority, s.due, l.lane, l.limit_key, l.sequence, l.breaker, coalesce(l.cost, 1) AS cost
    FROM unnest(%(priorities)s::smallint[], %(sinces)s::text[], %(untils)s::text[], %(dues)s::timestamptz[])
         WITH ORDINALITY AS s (priority, since, until, due, piece)
    CROSS JOIN LATERAL (
        WITH RECURSIVE lane AS (
            (SELECT w.lane, w.limit_key, w.sequence, w.breaker, w.cost
             FROM pgjobs.jobs_waiting AS w
             WHERE w.queue = %(queue)s AND w.priority = s.priority AND w.held IS NULL
               AND w.lane >= s.since AND w.lane <= coalesce(s.until, pgjobs.end_of_lanes())
             ORDER BY w.lane, w.run_at, w.id
             LIMIT 1)
            UNION ALL
            SELECT next.lane, next.limit_key, next.sequence, next.breaker, next.cost
            FROM lane
            CROSS JOIN LATERAL (
                SELECT w.lane, w.limit_key, w.sequence, w.breaker, w.cost
                FROM pgjobs.jobs_waiting AS w
                WHERE w.queue = %(queue)s AND w.priority = s.priority AND w.held IS NULL
                  AND w.lane > lane.lane AND w.lane <= coalesce(s.until, pgjobs.end_of_lanes())
                ORDER BY w.lane, w.run_at, w.id
                LIMIT 1
            ) AS next
        )
        SELECT * FROM lane
    ) AS l
    LIMIT %(most)s
), open AS MATERIALIZED (
    SELECT l.*, r.found AS is_limited, b.found AS is_probing
    FROM lanes AS l
    LEFT JOIN LATERAL (SELECT true AS found, m.* FROM pgjobs.room_of_limit(l.limit_key) AS m) AS r
        ON l.limit_key IS NOT NULL
    LEFT JOIN LATERAL (SELECT true AS found, m.* FROM pgjobs.room_of_breaker(l.breaker) AS m) AS b
        ON l.breaker IS NOT NULL
    CROSS JOIN LATERAL (
        (SELECT w.id
         FROM pgjobs.jobs_waiting AS w
         WHERE l.sequence IS NULL
           AND w.queue = %(queue)s AND w.priority = l.priority AND w.lane = l.lane AND w.held IS NULL
           AND w.run_at <= least(now(), l.due)
         ORDER BY w.run_at, w.id
         LIMIT 1)
        UNION ALL
        SELECT w.id
        FROM pgjobs.jobs_waiting AS w
        WHERE w.id = (SELECT f.id FROM pgjobs.jobs_waiting AS f
                      WHERE f.sequence = l.sequence ORDER BY f.id LIMIT 1)
          AND w.queue = %(queue)s AND w.lane = l.lane AND w.priority = l.priority
          AND w.held IS NULL AND w.run_at <= least(now(), l.due)
          AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS v WHERE v.sequence = l.sequence)
          AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS d
                          WHERE d.sequence = l.sequence AND coalesce(d.on_failure, 'block') = 'block')
    ) AS due
    WHERE coalesce(r.slots, 1) > 0 AND coalesce(b.probes, 1) > 0
      AND coalesce(r.tokens + 1e-9 >= least(l.cost, 1), true)
      AND NOT coalesce((SELECT q.paused OR coalesce(q.concurrency, q.rate) IS NOT NULL
                               AND %(counted_queue)s::text IS NULL
                        FROM pgjobs.queues AS q WHERE q.name = %(queue)s), false)
      AND NOT coalesce((SELECT s.paused FROM pgjobs.switch AS s WHERE s.one), false)
    LIMIT %(demand)s
), held AS MATERIALIZED (
    SELECT o.*,
           (SELECT true FROM pgjobs.key_locks AS k WHERE o.is_limited AND k.kind = 'limit' AND k.name = o.limit_key
            FOR NO KEY UPDATE SKIP LOCKED) AS has_limit,
           (SELECT true FROM pgjobs.key_locks AS k WHERE k.kind = 'sequence' AND k.name = o.sequence
            FOR NO KEY UPDATE SKIP LOCKED) AS has_sequence,
           (SELECT true FROM pgjobs.key_locks AS k WHERE o.is_probing AND k.kind = 'breaker' AND k.name = o.breaker
            FOR NO KEY UPDATE SKIP LOCKED) AS has_breaker
    FROM open AS o
)
SELECT h.priority, h.lane, h.due, h.limit_key, h.sequence, h.breaker, h.cost,
       coalesce(h.is_limited, false) AS is_limited, coalesce(h.is_probing, false) AS is_probing,
       coalesce((h.has_limit OR h.is_limited IS NULL) AND (h.has_sequence OR h.sequence IS NULL)
           AND (h.has_breaker OR h.is_probing IS NULL), false) AS is_locked,
       (SELECT array_agg(k.kind || ':' || k.name)
        FROM (SELECT 'limit', h.limit_key WHERE h.is_limited AND h.has_limit IS NULL
              UNION ALL SELECT 'sequence', h.sequence WHERE h.has_sequence IS NULL
              UNION ALL SELECT 'breaker', h.breaker WHERE h.is_probing AND h.has_breaker IS NULL) AS k (kind, name)
        WHERE k.name IS NOT NULL
          AND NOT EXISTS (SELECT FROM pgjobs.key_locks AS l WHERE l.kind = k.kind AND l.name = k.name)) AS missing
FROM held AS h
UNION ALL
SELECT last.piece::smallint, last.lane, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM (SELECT lanes.piece, lanes.lane FROM lanes OFFSET %(most)s - 1) AS last
WHERE (SELECT count(*) FROM open) < %(demand)s
