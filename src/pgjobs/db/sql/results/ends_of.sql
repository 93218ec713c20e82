-- How these jobs have ended, with the error of the last attempt. If retention has dropped the row, the dead letter
-- stands in. For `ended_at` see find_ended.sql.
WITH found AS (
    SELECT 1 AS place, h.id, h.task, h.status, h.error, h.errors, h.attempt, h.finished_at
    FROM pgjobs.jobs_history AS h
    WHERE h.id = ANY (%(ids)s::bigint[])
      AND (h.finished_at = ANY (%(ended_at)s::timestamptz[]) OR h.finished_at IS NULL)
    UNION ALL
    SELECT 2, d.id, d.task, d.status, d.error, d.errors, d.attempt, d.finished_at
    FROM pgjobs.dead_jobs AS d
    WHERE d.id = ANY (%(ids)s::bigint[])
)
SELECT DISTINCT ON (f.id) f.id, f.task, f.status, f.error,
       CASE WHEN jsonb_typeof(f.errors) = 'array' THEN f.errors -> -1 ->> 'traceback' END AS traceback, f.attempt
FROM found AS f
ORDER BY f.id, f.place, f.finished_at DESC
