-- What a producer has to know of its queue beside the jobs that it claims: asked about once a second. `waiting`: jobs wait
-- for their turns, or will in a moment; `unsettled`: somebody waits for a job that does not know of it.
SELECT q.concurrency, q.rate, extract(epoch FROM q.aging)::float8 AS aging,
       EXISTS (SELECT FROM pgjobs.jobs_waiting AS w
               WHERE w.queue = %(queue)s AND w.held IS NULL AND w.lane IS NOT NULL)
       OR EXISTS (SELECT FROM pgjobs.jobs_waiting AS w
                  WHERE w.queue = %(queue)s AND w.held = 'later' AND w.run_at < now() + interval '2 s') AS waiting,
       EXISTS (SELECT FROM pgjobs.dependencies AS d WHERE NOT d.settled) AS unsettled
FROM (SELECT 1) AS one
LEFT JOIN pgjobs.queues AS q ON q.name = %(queue)s
