-- Every queue of the view queue_names, with its settings.
SELECT names.name, coalesce(q.paused, false) AS paused, q.paused_at,
       coalesce(q.keep_completed, true) AS keep_completed, q.created_at,
       EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.queues ? names.name) AS worked_on,
       q.concurrency, q.rate, extract(epoch FROM q.period)::float8 AS period, q.burst,
       extract(epoch FROM q.aging)::float8 AS aging, q.sla
FROM pgjobs.queue_names AS names
LEFT JOIN pgjobs.queues AS q ON q.name = names.name
ORDER BY names.name
