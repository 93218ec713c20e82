-- The steps of a workflow that have ended: what is known of their runs is looked for in history.
SELECT s.job_id FROM pgjobs.workflow_steps AS s
WHERE s.workflow_id = %(workflow)s
  AND (s.status IS NOT NULL OR s.kind IN ('on_completed', 'on_failure'))
ORDER BY s.job_id
LIMIT 20000
