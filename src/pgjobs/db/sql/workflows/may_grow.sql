-- Whether a step may add others: a row says so, because it has not ended before. `held`: nothing of its workflow may
-- start.
SELECT w.paused_at IS NOT NULL OR w.cancelled_at IS NOT NULL AS held
FROM pgjobs.workflow_steps AS s
JOIN pgjobs.workflows AS w ON w.id = s.workflow_id
WHERE s.job_id = %(step)s AND s.status IS NULL
