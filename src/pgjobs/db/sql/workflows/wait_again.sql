-- Steps wait for others again. Those that run again themselves count these when they are put back (requeue_jobs.sql),
-- the others in count_needs.sql.
INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure, settled)
SELECT a.needs_id, s.job_id, s.if_failed, true
FROM unnest(%(needs)s::bigint[], %(jobs)s::bigint[]) AS a (needs_id, job_id)
JOIN pgjobs.workflow_steps AS s ON s.job_id = ANY (ARRAY[a.job_id])
ON CONFLICT DO NOTHING
RETURNING job_id
