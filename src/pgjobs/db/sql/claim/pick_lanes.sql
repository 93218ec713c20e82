-- Find up to %(demand)s lanes of one queue that have room and a job that is due, and lock what their jobs share. What
-- is found was so when the statement began; claim_waiting.sql, in the same transaction and after it, looks again at the
-- lanes whose keys are all locked, and sees what others have claimed.
--
-- Lanes take turns, in the order of the given ranges: lanes of one priority, from one lane up to another (NULL: to
-- the last one). All jobs of a lane wait for the same things, so a lane without room costs one look-up, however many
-- jobs it holds, and at most %(most)s lanes are read. Of a sequence only the first job can run: the one with the
-- smallest id, wherever and until whenever it waits.
--
-- Jobs that run in batches wait until there are enough of them, or the first has waited long enough: how many and how
-- long is the fifth part of their lane, as flow/batch.py writes it. %(in_haste)s: no batch waits for more. Those of a
-- pipeline have their stage as the sixth part. %(full)s: stages of which none may start.
--
-- `is_locked`: all keys of the lane are; `missing`: those without a row to be locked. Where the walk ended early, the
-- last row says so: its `is_locked` is NULL, and it has the number of the range in place of the priority, and the last
-- lane that was read.
WITH lanes AS MATERIALIZED (
    SELECT s.piece, s.priority, s.due, l.lane, l.cost, l.run_at,
           nullif(split_part(l.lane, E'\x1f', 2), '') AS limit_key,
           nullif(split_part(l.lane, E'\x1f', 3), '') AS sequence,
           nullif(split_part(l.lane, E'\x1f', 4), '') AS breaker,
           nullif(split_part(l.lane, E'\x1f', 5), '') AS batch
    FROM unnest(%(priorities)s::smallint[], %(sinces)s::text[], %(untils)s::text[], %(dues)s::timestamptz[])
         WITH ORDINALITY AS s (priority, since, until, due, piece)
    CROSS JOIN LATERAL (
        WITH RECURSIVE part AS (
            SELECT s.since COLLATE "C", 1::bigint AS jobs,
                   NULL::text[] COLLATE "C" AS lanes, NULL::real[] AS costs, NULL::timestamptz[] AS times
            UNION ALL
            SELECT next.*
            FROM part
            CROSS JOIN LATERAL (
                SELECT max(j.lane) || E'\x01',
                       CASE WHEN 2 * count(*) < part.jobs THEN count(*) ELSE least(2 * part.jobs, 64) END,
                       array_agg(j.lane), array_agg(j.cost), array_agg(j.run_at::timestamptz)
                FROM (SELECT DISTINCT ON (w.lane) w.lane, w.cost, w.run_at
                      FROM (SELECT w.lane, w.cost, w.run_at
                            FROM pgjobs.jobs_waiting AS w
                            WHERE w.queue = %(queue)s AND w.priority = s.priority AND w.held IS NULL
                              AND w.lane >= part.since AND w.lane <= coalesce(s.until, pgjobs.end_of_lanes())
                            ORDER BY w.lane, w.run_at, w.id
                            LIMIT part.jobs) AS w
                      ORDER BY w.lane) AS j
            ) AS next
            WHERE part.since IS NOT NULL
        )
        SELECT j.lane, coalesce(j.cost, 1) AS cost, j.run_at
        FROM part
        CROSS JOIN LATERAL unnest(part.lanes, part.costs, part.times) AS j (lane, cost, run_at)
    ) AS l
    LIMIT %(most)s
), open AS MATERIALIZED (
    SELECT l.*, r.found AS is_limited, b.found AS is_probing,
           CASE WHEN l.batch IS NOT NULL THEN pgjobs.batch_lock(%(queue)s, l.priority, l.lane) END AS batch_lock
    FROM lanes AS l
    LEFT JOIN LATERAL (SELECT true AS found, m.* FROM pgjobs.room_of_limit(l.limit_key) AS m) AS r
        ON l.limit_key IS NOT NULL
    LEFT JOIN LATERAL (SELECT true AS found, m.* FROM pgjobs.room_of_breaker(l.breaker) AS m) AS b
        ON l.breaker IS NOT NULL
    WHERE CASE WHEN l.sequence IS NULL THEN l.run_at <= least(now(), l.due)
               ELSE EXISTS (SELECT
                            FROM pgjobs.head_of_sequence(l.sequence) AS head (id)
                            JOIN pgjobs.jobs_waiting AS w ON w.id = head.id
                            WHERE w.queue = %(queue)s AND w.lane = l.lane AND w.priority = l.priority
                              AND w.held IS NULL AND w.run_at <= least(now(), l.due)) END
      AND split_part(l.lane, E'\x1f', 6) <> ALL (%(full)s::text[])
      AND coalesce(r.slots, 1) > 0 AND coalesce(b.probes, 1) > 0
      AND coalesce(r.tokens + 1e-9 >= least(l.cost, 1), true)
      AND CASE WHEN l.batch IS NULL OR %(in_haste)s::boolean THEN true
               ELSE coalesce((
                   SELECT l.run_at + m.wait * interval '1 ms' <= now()
                          OR EXISTS (SELECT FROM pgjobs.jobs_waiting AS w
                                     WHERE w.queue = %(queue)s AND w.priority = l.priority AND w.lane = l.lane
                                       AND w.held IS NULL AND w.run_at <= now()
                                     ORDER BY w.run_at, w.id
                                     OFFSET greatest(m.size, 1) - 1
                                     LIMIT 1)
                          OR m.bytes IS NOT NULL
                             AND m.bytes <= (SELECT sum(octet_length(f.payload))
                                         FROM (SELECT w.payload
                                               FROM pgjobs.jobs_waiting AS w
                                               WHERE w.queue = %(queue)s AND w.priority = l.priority
                                                 AND w.lane = l.lane AND w.held IS NULL AND w.run_at <= now()
                                               ORDER BY w.run_at, w.id
                                               LIMIT greatest(m.size, 1)) AS f)
                   FROM (SELECT p[1]::int AS size, p[2]::float8 AS wait, nullif(p[3], '')::bigint AS bytes
                         FROM regexp_match(l.batch, '^([0-9]{1,5}):([0-9]{1,12}):([0-9]{0,10}):') AS p
                         WHERE p IS NOT NULL) AS m), true) END
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
            FOR NO KEY UPDATE SKIP LOCKED) AS has_breaker,
           (SELECT true FROM pgjobs.key_locks AS k WHERE k.kind = 'batch' AND k.name = o.batch_lock
            FOR NO KEY UPDATE SKIP LOCKED) AS has_batch
    FROM open AS o
)
SELECT h.priority, h.lane, h.due, h.limit_key, h.sequence, h.breaker, h.cost,
       coalesce(h.is_limited, false) AS is_limited, coalesce(h.is_probing, false) AS is_probing,
       coalesce((h.has_limit OR h.is_limited IS NULL) AND (h.has_sequence OR h.sequence IS NULL)
           AND (h.has_breaker OR h.is_probing IS NULL) AND (h.has_batch OR h.batch_lock IS NULL), false) AS is_locked,
       (SELECT array_agg(k.kind || ':' || k.name)
        FROM (SELECT 'limit', h.limit_key WHERE h.is_limited AND h.has_limit IS NULL
              UNION ALL SELECT 'sequence', h.sequence WHERE h.has_sequence IS NULL
              UNION ALL SELECT 'breaker', h.breaker WHERE h.is_probing AND h.has_breaker IS NULL
              UNION ALL SELECT 'batch', h.batch_lock WHERE h.has_batch IS NULL) AS k (kind, name)
        WHERE k.name IS NOT NULL
          AND NOT EXISTS (SELECT FROM pgjobs.key_locks AS l WHERE l.kind = k.kind AND l.name = k.name)) AS missing
FROM held AS h
UNION ALL
SELECT last.piece::smallint, last.lane, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM (SELECT lanes.piece, lanes.lane FROM lanes OFFSET %(most)s - 1) AS last
WHERE (SELECT count(*) FROM open) < %(demand)s
