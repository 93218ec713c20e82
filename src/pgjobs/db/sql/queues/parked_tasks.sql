-- The tasks whose jobs are parked and that are no longer paused: a loose index scan, one look-up per task.
WITH RECURSIVE parked (task) AS (
    (SELECT task FROM pgjobs.jobs_waiting WHERE held = 'task' ORDER BY task LIMIT 1)
    UNION ALL
    SELECT (SELECT w.task FROM pgjobs.jobs_waiting AS w WHERE w.held = 'task' AND w.task > parked.task
            ORDER BY w.task LIMIT 1)
    FROM parked
    WHERE parked.task IS NOT NULL
)
SELECT task
FROM parked
WHERE task IS NOT NULL
  AND NOT EXISTS (SELECT FROM pgjobs.paused_tasks AS p WHERE parked.task LIKE ANY (p.patterns))
