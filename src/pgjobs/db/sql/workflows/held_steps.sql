-- The steps of a workflow that have not ended.
SELECT s.job_id AS id
FROM pgjobs.workflow_steps AS s
WHERE s.workflow_id = %(workflow)s AND s.status IS NULL AND (s.kind IS NULL OR s.kind = 'map')
ORDER BY s.job_id
