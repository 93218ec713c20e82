-- Workers are to look at the workflows of these steps, which have ended, once this transaction has: a dependency that
-- stands for the workflow (job 0), as in complete_within.sql. One for each workflow is enough.
INSERT INTO pgjobs.dependencies AS d (needs_id, job_id, on_failure, settled)
SELECT min(s.job_id), 0, 'run', false
FROM pgjobs.workflow_steps AS s
WHERE s.job_id = ANY (CAST(%(ids)s AS bigint[]))
GROUP BY s.workflow_id
ON CONFLICT (needs_id, job_id) DO UPDATE SET settled = false
RETURNING d.needs_id
