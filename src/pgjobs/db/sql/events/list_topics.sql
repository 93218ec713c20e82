-- The topics that keep their events.
SELECT t.pattern, t.app, t.keep, CASE WHEN t.retired_at IS NOT NULL THEN 'retired' ELSE 'active' END AS state,
       t.retired_at, t.created_at, t.updated_at
FROM pgjobs.topics AS t
ORDER BY t.pattern
