-- Jobs by queue and state, and dead letters by queue, in a share of the pages of each table: in all of small
-- tables, and in as many of large ones as can be read in some milliseconds. The parameters are percents.
SELECT queue, state, part, count(*) AS jobs
FROM (SELECT 'live' AS part, l.queue::text AS queue,
             CASE WHEN l.status = 'running' THEN 'running' WHEN l.run_at <= now() THEN 'due' ELSE 'later' END AS state
      FROM pgjobs.jobs_live AS l TABLESAMPLE SYSTEM (%(live)s::real)
      UNION ALL
      SELECT 'waiting', w.queue, CASE WHEN w.held IN ('needs', 'task') THEN 'waiting' WHEN w.run_at <= now() THEN 'due'
                           ELSE 'later' END
      FROM pgjobs.jobs_waiting AS w TABLESAMPLE SYSTEM (%(waiting)s::real)
      UNION ALL
      SELECT 'dead', d.queue, 'dead' FROM pgjobs.dead_jobs AS d TABLESAMPLE SYSTEM (%(dead)s::real)) AS jobs
GROUP BY queue, state, part
