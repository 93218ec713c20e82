-- Since when the oldest of the jobs that wait for their turn is due, by priority, in a queue with aging. Walks for
-- levels that no job has reached are left out. NULL as priority: there are more than %(most)s lanes, nothing is known.
WITH firsts AS MATERIALIZED (
    SELECT p.priority, j.run_at
    FROM generate_series(0, 9) AS p (priority)
    CROSS JOIN LATERAL (
        WITH RECURSIVE part AS (
            SELECT '' COLLATE "C" AS since, 1::bigint AS jobs, NULL::timestamptz[] AS times
            UNION ALL
            SELECT next.*
            FROM part
            CROSS JOIN LATERAL (
                SELECT max(j.lane) || E'\x01',
                       CASE WHEN 2 * count(*) < part.jobs THEN count(*) ELSE least(2 * part.jobs, 64) END,
                       array_agg(j.run_at::timestamptz)
                FROM (SELECT DISTINCT ON (w.lane) w.lane, w.run_at
                      FROM (SELECT w.lane, w.run_at
                            FROM pgjobs.jobs_waiting AS w
                            WHERE w.queue = %(queue)s AND w.priority = p.priority::smallint AND w.held IS NULL
                              AND w.lane >= part.since
                            ORDER BY w.lane, w.run_at, w.id
                            LIMIT part.jobs) AS w
                      ORDER BY w.lane) AS j
            ) AS next
            WHERE part.since IS NOT NULL
        )
        SELECT j.run_at
        FROM part
        CROSS JOIN LATERAL unnest(part.times) AS j (run_at)
    ) AS j
    LIMIT %(most)s
)
SELECT f.priority, min(f.run_at) AS run_at FROM firsts AS f GROUP BY f.priority
UNION ALL
SELECT NULL, NULL FROM (SELECT count(*) AS lanes FROM firsts) AS f WHERE f.lanes >= %(most)s
