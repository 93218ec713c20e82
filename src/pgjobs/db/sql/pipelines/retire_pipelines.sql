-- Mark pipelines that no code declares any longer. Their items stay, and so does the room of their stages.
UPDATE pgjobs.pipelines
SET retired_at = now()
WHERE retired_at IS NULL AND name <> ALL (%(kept)s::text[])
RETURNING name, app
