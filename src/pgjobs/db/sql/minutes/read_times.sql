-- How many jobs of a queue, or of a task of it, ran and waited for how long, in steps of some seconds: a row for each
-- bucket that is not empty.
SELECT (floor(extract(epoch FROM m.minute) / %(step)s::float8) * %(step)s::float8)::float8 AS at, b.kind, b.bucket,
       sum(b.jobs)::float8 AS jobs
FROM pgjobs.queue_minutes AS m
CROSS JOIN LATERAL (SELECT 'run' AS kind, r.n AS bucket, r.jobs FROM unnest(m.runs) WITH ORDINALITY AS r (jobs, n)
                    UNION ALL
                    SELECT 'wait', w.n, w.jobs FROM unnest(m.waits) WITH ORDINALITY AS w (jobs, n)) AS b
WHERE m.queue = CAST(%(queue)s AS text) AND m.task = CAST(%(task)s AS text)
  AND m.minute >= CAST(%(since)s AS timestamptz) AND b.jobs > 0
GROUP BY at, b.kind, b.bucket
ORDER BY at, b.kind, b.bucket
