-- Stop schedules that no code declares any longer; an operator's schedules have no application, and stay.
UPDATE pgjobs.schedules
SET retired_at = now()
WHERE app IS NOT NULL AND retired_at IS NULL AND name <> ALL (%(kept)s::text[])
RETURNING name, app
