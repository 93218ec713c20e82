-- The lanes of the due jobs of a queue that began to wait last, and the newest id of all. A job that is committed after
-- this transaction began may seem to be due later: the next look finds it.
WITH new AS MATERIALIZED (
    SELECT w.id, w.queue, w.priority, w.lane, w.held, w.run_at
    FROM pgjobs.jobs_waiting AS w
    WHERE w.id > %(after)s
    ORDER BY w.id DESC
    LIMIT 500
)
SELECT n.priority, n.lane, max(n.id) AS id
FROM new AS n
WHERE n.queue = %(queue)s AND n.held IS NULL AND n.lane IS NOT NULL AND n.run_at <= now()
GROUP BY 1, 2
UNION ALL
SELECT NULL, NULL, max(id) FROM new
