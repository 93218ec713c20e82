-- The same as lock_workflows.sql, without a wait for who has locked one: it is left out then.
SELECT w.id, w.status,
       CASE WHEN w.cancelled_at IS NOT NULL THEN coalesce(w.cancel_reason, 'cancelled') END AS cancelled,
       w.paused_at IS NOT NULL AS paused
FROM pgjobs.workflows AS w
WHERE w.id = ANY (%(workflows)s::bigint[])
ORDER BY w.id
FOR NO KEY UPDATE SKIP LOCKED
