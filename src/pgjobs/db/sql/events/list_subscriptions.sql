-- Subscriptions by name: all, or one of them. Those that are paused and keep their events have a paused task.
SELECT s.name, s.id, s.app, s.pattern, s.queue, s.priority, s.max_attempts,
       CASE WHEN s.retired_at IS NOT NULL THEN 'retired' WHEN s.drops_since IS NOT NULL THEN 'dropping'
            WHEN p.since IS NOT NULL THEN 'paused' ELSE 'active' END AS state,
       s.drops_since, p.since AS paused_at, s.retired_at, s.created_at, s.updated_at
FROM pgjobs.subscriptions AS s
LEFT JOIN LATERAL (SELECT min(t.paused_at) AS since FROM pgjobs.paused_tasks AS t
                   WHERE s.name LIKE ANY (t.patterns)) AS p ON true
WHERE %(subscription)s::text IS NULL OR s.name = %(subscription)s
ORDER BY s.name
