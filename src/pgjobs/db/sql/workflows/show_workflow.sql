-- One workflow, with what is not listed.
SELECT w.id, w.name, w.key, w.status, w.steps + c.steps AS steps, greatest(w.active + c.active, 0) AS active,
       w.completed + c.completed AS completed, w.failed + c.failed AS failed, w.cancelled + c.cancelled AS cancelled,
       w.skipped + c.skipped AS skipped, w.created_at, w.ended_at, w.paused_at, w.cancelled_at, w.cancel_reason
FROM pgjobs.workflows AS w
CROSS JOIN LATERAL (
    SELECT coalesce(sum(n.steps), 0)::bigint AS steps, coalesce(sum(n.active), 0)::bigint AS active,
           coalesce(sum(n.completed), 0)::bigint AS completed, coalesce(sum(n.failed), 0)::bigint AS failed,
           coalesce(sum(n.cancelled), 0)::bigint AS cancelled, coalesce(sum(n.skipped), 0)::bigint AS skipped
    FROM pgjobs.workflow_counts AS n
    WHERE n.workflow_id = w.id
) AS c
WHERE w.id = %(workflow)s
