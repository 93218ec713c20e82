-- Pipelines as they are, locked until they are changed.
SELECT name, app, digest, retired_at
FROM pgjobs.pipelines
WHERE name = ANY (%(names)s::text[])
ORDER BY name
FOR NO KEY UPDATE
