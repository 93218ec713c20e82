-- Steps that wait for others, after what they wait for has changed.
WITH locked AS MATERIALIZED (
    SELECT w.id FROM pgjobs.jobs_waiting AS w
    WHERE w.id = ANY (%(ids)s::bigint[]) AND w.held = 'needs'
    ORDER BY w.id FOR UPDATE
)
UPDATE pgjobs.jobs_waiting AS w
SET needs = d.n
FROM (SELECT e.job_id, count(*)::int AS n FROM pgjobs.dependencies AS e
      WHERE e.job_id = ANY (%(ids)s::bigint[]) GROUP BY e.job_id) AS d
WHERE w.id = d.job_id AND w.id IN (SELECT id FROM locked)
RETURNING w.id
