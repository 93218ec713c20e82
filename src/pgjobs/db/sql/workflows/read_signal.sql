-- What was said to a job under this name, or to the workflow that it is a step of; the first counts. `until`: when its
-- wait ends; NULL: it has not waited yet, or waits for as long as it takes.
SELECT s.name IS NOT NULL AS arrived, s.payload, w.job_id IS NOT NULL AS waits, w.until,
       w.until <= clock_timestamp() AS is_over,
       extract(epoch FROM w.until - clock_timestamp())::float8 AS seconds
FROM (SELECT 1) AS one
LEFT JOIN LATERAL (
    SELECT g.name, g.payload
    FROM pgjobs.signals AS g
    WHERE g.name = %(signal)s::text
      AND (g.kind = 'job' AND g.target = %(job)s::bigint
           OR g.kind = 'workflow' AND g.target = %(workflow)s::bigint)
    ORDER BY g.sent_at
    LIMIT 1
) AS s ON true
LEFT JOIN pgjobs.waits AS w ON w.job_id = %(job)s::bigint AND w.name = %(wait)s::text
