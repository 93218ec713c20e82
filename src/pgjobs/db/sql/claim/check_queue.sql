-- What a producer has to know about its queue besides the jobs that it claims; asked once a second. `waiting`: jobs
-- wait for their turn, or will in a moment; `unsettled`: a job waits for one whose row does not show it yet,
-- or a sequence has ended while a row of it was locked. `signalled`: a signal was sent.
SELECT q.concurrency, q.rate, extract(epoch FROM q.aging)::float8 AS aging,
       EXISTS (SELECT FROM pgjobs.jobs_waiting AS w
               WHERE w.queue = %(queue)s AND w.held IS NULL AND w.lane IS NOT NULL)
       OR EXISTS (SELECT FROM pgjobs.jobs_waiting AS w
                  WHERE w.queue = %(queue)s AND w.held = 'later' AND w.run_at < now() + interval '2 s') AS waiting,
       EXISTS (SELECT FROM pgjobs.dependencies AS d WHERE NOT d.settled)
       OR EXISTS (SELECT FROM pgjobs.dead_jobs AS d WHERE d.ends_sequence) AS unsettled,
       EXISTS (SELECT FROM pgjobs.signals AS g WHERE NOT g.settled) AS signalled
FROM (SELECT 1) AS one
LEFT JOIN pgjobs.queues AS q ON q.name = %(queue)s
