-- After pick_lanes.sql has looked at many lanes in vain: in the same ranges, the runs of lanes without room. Each has
-- the number of its range (from 1), its first and its last lane, and the limits, breakers and full stages that hold it
-- up (NULL: there are too many, or sequences); `cost`: of the cheapest of their jobs, in tokens; `at_start`: no lane of
-- the range comes before.
WITH lanes AS MATERIALIZED (
    SELECT row_number() OVER () AS n, s.piece, s.priority, l.lane, l.limit_key, l.sequence, l.breaker,
           coalesce(l.cost, 1) AS cost
    FROM unnest(%(priorities)s::smallint[], %(sinces)s::text[], %(untils)s::text[])
         WITH ORDINALITY AS s (priority, since, until, piece)
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
), closed AS MATERIALIZED (
    SELECT l.n, l.piece, l.lane, least(l.cost, 1) AS cost,
           CASE WHEN split_part(l.lane, E'\x1f', 6) = ANY (%(full)s::text[])
                THEN 'stage:' || split_part(l.lane, E'\x1f', 6)
                WHEN EXISTS (SELECT FROM pgjobs.room_of_limit(l.limit_key) AS m
                             WHERE coalesce(m.slots, 1) <= 0 OR m.tokens + 1e-9 < least(l.cost, 1))
                THEN 'limit:' || l.limit_key
                WHEN EXISTS (SELECT FROM pgjobs.room_of_breaker(l.breaker) AS m WHERE m.probes <= 0)
                THEN 'breaker:' || l.breaker
                WHEN l.sequence IS NOT NULL
                     AND NOT EXISTS (SELECT FROM pgjobs.head_of_sequence(l.sequence) AS head (id)
                                     JOIN pgjobs.jobs_waiting AS w ON w.id = head.id
                                     WHERE w.queue = %(queue)s AND w.lane = l.lane AND w.priority = l.priority
                                       AND w.held IS NULL AND w.run_at <= now())
                THEN 'sequence:' || l.sequence END AS by
    FROM lanes AS l
)
SELECT c.piece::int AS number, min(c.lane) AS first, max(c.lane) AS last,
       CASE WHEN count(DISTINCT c.by) <= 8 AND NOT bool_or(starts_with(c.by, 'sequence:'))
            THEN array_agg(DISTINCT c.by) END AS keys,
       min(c.cost)::float8 AS cost,
       min(c.n) = (SELECT min(l.n) FROM lanes AS l WHERE l.piece = c.piece) AS at_start
FROM (SELECT closed.*, closed.n - row_number() OVER () AS run FROM closed WHERE closed.by IS NOT NULL) AS c
GROUP BY c.piece, c.run
HAVING count(*) >= 20
