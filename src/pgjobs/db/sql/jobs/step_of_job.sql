-- Which step of which workflow a job is.
SELECT s.workflow_id, w.name AS workflow, s.node, s.name AS step
FROM pgjobs.workflow_steps AS s
JOIN pgjobs.workflows AS w ON w.id = s.workflow_id
WHERE s.job_id = %(id)s
