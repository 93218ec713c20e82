-- Write the topics that keep their events; those of another application stay as they are. Returns what was written.
INSERT INTO pgjobs.topics AS t (pattern, app, keep)
SELECT a.pattern, a.app, a.keep
FROM unnest(%(patterns)s::text[], %(apps)s::text[], %(keeps)s::interval[]) AS a (pattern, app, keep)
ORDER BY a.pattern
ON CONFLICT (pattern) DO UPDATE
SET keep = excluded.keep, retired_at = NULL, updated_at = now()
WHERE t.app = excluded.app AND (t.keep, t.retired_at) IS DISTINCT FROM (excluded.keep, NULL)
RETURNING t.pattern
