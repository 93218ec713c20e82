-- What lies in each queue, and for how long: index look-ups only, so that it takes as long with a million jobs as with
-- a hundred thousand. The queues are found by a loose index scan, the counts end at the cap (one more than it means:
-- there are more), and the oldest due job is the first entry of one of ten priorities (behind minus infinity, which
-- PostgreSQL before 17 does not subtract).
WITH RECURSIVE busy (queue) AS (
    (SELECT queue FROM pgjobs.jobs_live WHERE status = 'queued' AND queue <> '' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT live.queue FROM pgjobs.jobs_live AS live
            WHERE live.status = 'queued' AND live.queue > busy.queue AND live.queue <> '' ORDER BY live.queue LIMIT 1)
    FROM busy
    WHERE busy.queue IS NOT NULL
), names (name) AS (
    SELECT queue FROM busy WHERE queue IS NOT NULL
    UNION
    SELECT name FROM pgjobs.queues
)
SELECT names.name, coalesce(q.paused, false) AS paused, coalesce(q.keep_completed, true) AS keep_completed,
       due.n AS due, later.n AS later,
       extract(epoch FROM now() - oldest.run_at)::float8 AS latency_seconds
FROM names
LEFT JOIN pgjobs.queues AS q ON q.name = names.name
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM generate_series(0, 9) AS p
          CROSS JOIN LATERAL (
              SELECT FROM pgjobs.jobs_live AS live
              WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued' AND live.priority = p::smallint
                AND live.run_at <= now()
              LIMIT %(cap)s + 1) AS j
          LIMIT %(cap)s + 1) AS capped
) AS due
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM generate_series(0, 9) AS p
          CROSS JOIN LATERAL (
              SELECT FROM pgjobs.jobs_live AS live
              WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued' AND live.priority = p::smallint
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
ORDER BY names.name
