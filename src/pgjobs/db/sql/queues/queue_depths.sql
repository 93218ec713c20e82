-- How many jobs each queue holds, and for how long: index look-ups only, so that it takes as long with a million jobs
-- as with a hundred thousand. The counts end at the cap (one more means: there are more), and the oldest due job is
-- the first entry of one of its priorities (after minus infinity, which PostgreSQL before 17 cannot subtract). Only
-- priorities that have jobs are looked at. `queues`: the names of `queue_names.sql`, or some of them.
--
-- A job that waits for its turn counts like a queued one. The oldest of these is the first of its lane, and some
-- lanes (`lanes`) are read; those whose time has just come are not in their lanes yet. Where none
-- waits so, that is found out once (`waits`), and not for each queue.
WITH waits AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM pgjobs.jobs_waiting AS a WHERE a.held = 'later') AS sleep,
           EXISTS (SELECT FROM pgjobs.jobs_waiting AS a WHERE a.held IS NULL AND a.lane IS NOT NULL) AS turns
)
SELECT names.name, coalesce(q.paused, false) AS paused, coalesce(q.keep_completed, true) AS keep_completed, q.sla,
       queued.due + turns.n + woken.n AS due, queued.later + sleeping.n AS later,
       (extract(epoch FROM now())
        - extract(epoch FROM least(queued.run_at, oldest_turn.run_at, oldest_woken.run_at)))::float8
           AS latency_seconds
FROM unnest(CAST(%(queues)s AS text[])) AS names (name)
LEFT JOIN pgjobs.queues AS q ON q.name = names.name
CROSS JOIN LATERAL (
    WITH RECURSIVE priorities (priority) AS (
        (SELECT live.priority
         FROM pgjobs.jobs_live AS live
         WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued'
         ORDER BY live.priority
         LIMIT 1)
        UNION ALL
        SELECT next.priority
        FROM priorities
        CROSS JOIN LATERAL (
            SELECT live.priority
            FROM pgjobs.jobs_live AS live
            WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued'
              AND live.priority > priorities.priority
            ORDER BY live.priority
            LIMIT 1) AS next
    )
    SELECT least(coalesce(sum(due.n), 0), %(cap)s + 1)::bigint AS due,
           least(coalesce(sum(later.n), 0), %(cap)s + 1)::bigint AS later,
           min(CASE WHEN due.run_at > '-infinity' THEN due.run_at
                    WHEN due.n > 0
                    THEN (SELECT live.run_at
                          FROM pgjobs.jobs_live AS live
                          WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued'
                            AND live.priority = p.priority AND live.run_at > '-infinity' AND live.run_at <= now()
                          ORDER BY live.run_at
                          LIMIT 1) END) AS run_at
    FROM priorities AS p
    CROSS JOIN LATERAL (
        SELECT count(*) AS n, min(capped.run_at) AS run_at
        FROM (SELECT live.run_at FROM pgjobs.jobs_live AS live
              WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued'
                AND live.priority = p.priority AND live.run_at <= now()
              ORDER BY live.run_at
              LIMIT %(cap)s + 1) AS capped
    ) AS due
    CROSS JOIN LATERAL (
        SELECT count(*) AS n
        FROM (SELECT FROM pgjobs.jobs_live AS live
              WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued'
                AND live.priority = p.priority AND live.run_at > now()
              LIMIT %(cap)s + 1) AS capped
    ) AS later
) AS queued
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM pgjobs.jobs_waiting AS w
          WHERE w.queue = names.name AND w.held IS NULL AND w.lane IS NOT NULL AND w.run_at <= now()
            AND (SELECT waits.turns FROM waits)
          LIMIT %(cap)s + 1) AS capped
) AS turns
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM pgjobs.jobs_waiting AS l
          WHERE l.queue = names.name AND l.held = 'later' AND l.run_at <= now() AND (SELECT waits.sleep FROM waits)
          LIMIT %(cap)s + 1) AS capped
) AS woken
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM pgjobs.jobs_waiting AS l
          WHERE l.queue = names.name AND l.held = 'later' AND l.run_at > now() AND (SELECT waits.sleep FROM waits)
          LIMIT %(cap)s + 1) AS capped
) AS sleeping
CROSS JOIN LATERAL (
    WITH RECURSIVE lanes (priority, lane, run_at, n) AS (
        (SELECT w.priority, w.lane, w.run_at, 1
         FROM pgjobs.jobs_waiting AS w
         WHERE w.queue = names.name AND w.held IS NULL AND w.lane IS NOT NULL AND w.run_at > '-infinity'
           AND (SELECT waits.turns FROM waits)
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
        WHERE lanes.n < %(lanes)s
    )
    SELECT min(run_at) FILTER (WHERE run_at <= now()) AS run_at FROM lanes
) AS oldest_turn
CROSS JOIN LATERAL (
    SELECT min(first.run_at) AS run_at
    FROM (SELECT l.run_at
          FROM pgjobs.jobs_waiting AS l
          WHERE l.queue = names.name AND l.held = 'later' AND l.run_at > '-infinity' AND l.run_at <= now()
            AND (SELECT waits.sleep FROM waits)
          ORDER BY l.run_at
          LIMIT 1) AS first
) AS oldest_woken
ORDER BY names.name
