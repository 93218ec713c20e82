-- Topics that no code declares any longer keep no more events. What they have kept stays as long as it was to.
UPDATE pgjobs.topics
SET retired_at = now()
WHERE retired_at IS NULL AND pattern <> ALL (%(kept)s::text[])
RETURNING pattern, app
