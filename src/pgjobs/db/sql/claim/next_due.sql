-- In how many seconds the next job of a queue is due, so that an idle producer looks again just then. One index
-- look-up for each priority, each after all entries that are due (or dead) already. Infinity is never due, and
-- PostgreSQL before 17 cannot subtract from it.
SELECT extract(epoch FROM min(j.run_at) - clock_timestamp())::float8
FROM generate_series(0, 9) AS p (priority)
CROSS JOIN LATERAL (
    SELECT live.run_at
    FROM pgjobs.jobs_live AS live
    WHERE live.queue = %(queue)s AND live.queue <> ''
      AND live.status = 'queued'
      AND live.priority = p.priority::smallint
      AND live.run_at > now() AND live.run_at < 'infinity'
    ORDER BY live.run_at, live.id
    LIMIT 1
) AS j
