-- Workflows, the newest first. Those that have ended have no counts any longer: theirs are in their own rows.
SELECT w.id, w.name, w.key, w.status, w.steps + c.steps AS steps, greatest(w.active + c.active, 0) AS active,
       w.completed + c.completed AS completed, w.failed + c.failed AS failed, w.cancelled + c.cancelled AS cancelled,
       w.skipped + c.skipped AS skipped, w.created_at, w.ended_at, w.paused_at, w.cancelled_at
FROM (SELECT * FROM pgjobs.workflows AS a
      WHERE (%(status)s::text IS NULL OR a.status = %(status)s::text)
        AND (%(called)s::text IS NULL OR a.name LIKE %(called)s::text)
        AND (%(before)s::bigint IS NULL OR a.id < %(before)s::bigint)
      ORDER BY a.id DESC
      LIMIT %(limit)s) AS w
CROSS JOIN LATERAL (
    SELECT coalesce(sum(n.steps), 0)::bigint AS steps, coalesce(sum(n.active), 0)::bigint AS active,
           coalesce(sum(n.completed), 0)::bigint AS completed, coalesce(sum(n.failed), 0)::bigint AS failed,
           coalesce(sum(n.cancelled), 0)::bigint AS cancelled, coalesce(sum(n.skipped), 0)::bigint AS skipped
    FROM pgjobs.workflow_counts AS n
    WHERE n.workflow_id = w.id
) AS c
ORDER BY w.id DESC
