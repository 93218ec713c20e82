-- The totals that supervisors have added up, apart from those that a supervisor serves itself.
SELECT queue::text, task::text, completed, failed, cancelled, retried
FROM pgjobs.finished_totals
ORDER BY queue, task
LIMIT %(limit)s
