-- All steps of a workflow, to decide which of them run again.
SELECT s.job_id, s.node, s.needs, s.parent, s.status,
       EXISTS (SELECT FROM pgjobs.dead_jobs AS d WHERE d.id = s.job_id) AS is_there
FROM pgjobs.workflow_steps AS s
WHERE s.workflow_id = %(workflow)s AND (s.kind IS NULL OR s.kind = 'map')
ORDER BY s.job_id
