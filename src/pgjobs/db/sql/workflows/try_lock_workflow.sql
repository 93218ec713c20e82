-- The same as lock_workflow.sql, without a wait for who has locked it: no row then.
SELECT w.status, CASE WHEN w.cancelled_at IS NOT NULL THEN coalesce(w.cancel_reason, 'cancelled') END AS cancelled,
       w.paused_at IS NOT NULL AS paused
FROM pgjobs.workflows AS w
WHERE w.id = %(workflow)s
FOR NO KEY UPDATE SKIP LOCKED
