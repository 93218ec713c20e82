-- How many jobs each queue holds, and for how long: index look-ups only, so that it takes as long with a million jobs
-- as with a hundred thousand. The counts end at the cap (one more means: there are more), and the oldest due job is
-- the first entry of one of ten priorities (after minus infinity, which PostgreSQL before 17 cannot subtract).
--
-- A job that waits for its turn counts like a queued one. The oldest of these is the first of its lane, and a thousand
-- lanes are read; those whose time has just come are not in their lanes yet.
SELECT names.name, coalesce(q.paused, false) AS paused, coalesce(q.keep_completed, true) AS keep_completed,
       due.n + turns.n + woken.n AS due, later.n + sleeping.n AS later,
       (extract(epoch FROM now())
        - extract(epoch FROM least(oldest.run_at, oldest_turn.run_at, oldest_woken.run_at)))::float8
           AS latency_seconds
FROM pgjobs.queue_names AS names
LEFT JOIN pgjobs.queues AS q ON q.name = names.name
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM generate_series(0, 9) AS p
          CROSS JOIN LATERAL (
              SELECT FROM pgjobs.jobs_live AS live
              WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued'
                AND live.priority = p::smallint
                AND live.run_at <= now()
              LIMIT %(cap)s + 1) AS j
          LIMIT %(cap)s + 1) AS capped
) AS due
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM generate_series(0, 9) AS p
          CROSS JOIN LATERAL (
              SELECT FROM pgjobs.jobs_live AS live
              WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued'
                AND live.priority = p::smallint
                AND live.run_at > now()
              LIMIT %(cap)s + 1) AS j
          LIMIT %(cap)s + 1) AS capped
) AS later
CROSS JOIN LATERAL (
    SELECT min(first.run_at) AS run_at
    FROM generate_series(0, 9) AS p
    CROSS JOIN LATERAL (
        SELECT live.run_at
        FROM pgjobs.jobs_live AS live
        WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued' AND live.priority = p::smallint
          AND live.run_at > '-infinity' AND live.run_at <= now()
        ORDER BY live.run_at
        LIMIT 1) AS first
) AS oldest
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM pgjobs.jobs_waiting AS w
          WHERE w.queue = names.name AND w.held IS NULL AND w.lane IS NOT NULL AND w.run_at <= now()
          LIMIT %(cap)s + 1) AS capped
) AS turns
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM pgjobs.jobs_waiting AS l
          WHERE l.queue = names.name AND l.held = 'later' AND l.run_at <= now()
          LIMIT %(cap)s + 1) AS capped
) AS woken
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM pgjobs.jobs_waiting AS l
          WHERE l.queue = names.name AND l.held = 'later' AND l.run_at > now()
          LIMIT %(cap)s + 1) AS capped
) AS sleeping
CROSS JOIN LATERAL (
    WITH RECURSIVE lanes (priority, lane, run_at, n) AS (
        (SELECT w.priority, w.lane, w.run_at, 1
         FROM pgjobs.jobs_waiting AS w
         WHERE w.queue = names.name AND w.held IS NULL AND w.lane IS NOT NULL AND w.run_at > '-infinity'
         ORDER BY w.priority, w.lane, w.run_at
         LIMIT 1)
        UNION ALL
        SELECT next.priority, next.lane, next.run_at, lanes.n + 1
        FROM lanes
        CROSS JOIN LATERAL (
            SELECT w.priority, w.lane, w.run_at
            FROM pgjobs.jobs_waiting AS w
            WHERE w.queue = names.name AND w.held IS NULL AND w.lane IS NOT NULL AND w.run_at > '-infinity'
              AND (w.priority, w.lane) > (lanes.priority, lanes.lane)
            ORDER BY w.priority, w.lane, w.run_at
            LIMIT 1) AS next
        WHERE lanes.n < 1000
    )
    SELECT min(run_at) FILTER (WHERE run_at <= now()) AS run_at FROM lanes
) AS oldest_turn
CROSS JOIN LATERAL (
    SELECT min(first.run_at) AS run_at
    FROM (SELECT l.run_at
          FROM pgjobs.jobs_waiting AS l
          WHERE l.queue = names.name AND l.held = 'later' AND l.run_at > '-infinity' AND l.run_at <= now()
          ORDER BY l.run_at
          LIMIT 1) AS first
) AS oldest_woken
ORDER BY names.name
