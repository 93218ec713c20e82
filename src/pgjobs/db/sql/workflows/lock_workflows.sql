-- One at a time ends a workflow, or changes all of it. `cancelled`: why it is to be cancelled; NULL: it is not.
SELECT w.id, w.status,
       CASE WHEN w.cancelled_at IS NOT NULL THEN coalesce(w.cancel_reason, 'cancelled') END AS cancelled,
       w.paused_at IS NOT NULL AS paused
FROM pgjobs.workflows AS w
WHERE w.id = ANY (%(workflows)s::bigint[])
ORDER BY w.id
FOR NO KEY UPDATE
