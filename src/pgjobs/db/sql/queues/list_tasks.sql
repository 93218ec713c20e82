-- The paused tasks, and how many jobs were parked for each (up to the cap; one more than it means: there are more).
SELECT p.task, p.paused_at, n.parked
FROM pgjobs.paused_tasks AS p
CROSS JOIN LATERAL (
    SELECT count(*) AS parked
    FROM (SELECT FROM pgjobs.jobs_waiting AS w WHERE w.held = 'task' AND w.task LIKE ANY (p.patterns)
          LIMIT %(cap)s + 1) AS capped
) AS n
ORDER BY p.task
