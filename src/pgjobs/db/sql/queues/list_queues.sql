-- Every queue that has a row of settings, or a job that is queued or waits for its turn or its time. Those with jobs are
-- found by a loose index scan: three look-ups per queue, however many jobs lie in it.
WITH RECURSIVE busy (queue) AS (
    SELECT ''
    UNION ALL
    SELECT least((SELECT live.queue FROM pgjobs.jobs_live AS live
                  WHERE live.status = 'queued' AND live.queue > busy.queue AND live.queue <> ''
                  ORDER BY live.queue LIMIT 1),
                 (SELECT w.queue FROM pgjobs.jobs_waiting AS w
                  WHERE w.held IS NULL AND w.lane IS NOT NULL AND w.queue > busy.queue ORDER BY w.queue LIMIT 1),
                 (SELECT l.queue FROM pgjobs.jobs_waiting AS l
                  WHERE l.held = 'later' AND l.queue > busy.queue ORDER BY l.queue LIMIT 1))
    FROM busy
    WHERE busy.queue IS NOT NULL
), names (name) AS (
    SELECT queue FROM busy WHERE queue <> ''
    UNION
    SELECT name FROM pgjobs.queues
)
SELECT names.name, coalesce(q.paused, false) AS paused, q.paused_at,
       coalesce(q.keep_completed, true) AS keep_completed, q.created_at,
       EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.queues ? names.name) AS worked_on,
       q.concurrency, q.rate, extract(epoch FROM q.period)::float8 AS period, q.burst,
       extract(epoch FROM q.aging)::float8 AS aging
FROM names
LEFT JOIN pgjobs.queues AS q ON q.name = names.name
ORDER BY names.name
