-- Steps wait for those that they need: for these as far as they have not completed, or are about to run again
-- (`again`). Those that run again themselves count them when they are put back (requeue_jobs.sql), the others in
-- count_needs.sql.
INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure, settled)
SELECT n.job_id, s.job_id, s.if_failed, true
FROM pgjobs.workflow_steps AS s
JOIN pgjobs.workflow_steps AS n
  ON n.workflow_id = s.workflow_id AND n.node = ANY (s.needs)
     AND (n.status IS NULL OR n.status IN ('failed', 'cancelled') OR n.job_id = ANY (%(again)s::bigint[]))
WHERE s.workflow_id = %(workflow)s AND s.job_id = ANY (%(ids)s::bigint[])
ON CONFLICT DO NOTHING
RETURNING job_id
