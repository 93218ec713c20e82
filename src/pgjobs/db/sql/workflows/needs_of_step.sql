-- How the steps have ended that a step waited for. Of what is called at the end: those that did not complete.
SELECT CASE WHEN s.n IS NULL THEN s.name ELSE format('%%s[%%s]', s.name, s.n) END AS name, s.job_id, s.status,
       (SELECT d.error FROM pgjobs.dead_jobs AS d WHERE d.id = s.job_id) AS error
FROM pgjobs.workflow_steps AS me
JOIN pgjobs.workflow_steps AS s ON s.workflow_id = me.workflow_id
WHERE me.job_id = %(job)s AND s.job_id <> me.job_id
  AND CASE WHEN me.kind IN ('on_completed', 'on_failure') THEN s.kind IS NULL AND s.status IN ('failed', 'cancelled')
           ELSE s.node = ANY (me.needs) END
ORDER BY s.job_id
