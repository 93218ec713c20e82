-- Some queues, with their settings: by name.
SELECT q.name, q.paused, q.paused_at, q.keep_completed, q.created_at,
       EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.queues ? q.name) AS worked_on,
       q.concurrency, q.rate, extract(epoch FROM q.period)::float8 AS period, q.burst,
       extract(epoch FROM q.aging)::float8 AS aging, q.sla
FROM pgjobs.queues AS q
WHERE q.name = ANY (CAST(%(names)s AS text[]))
ORDER BY q.name
