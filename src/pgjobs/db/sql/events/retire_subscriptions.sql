-- Stop subscriptions that no code declares any longer: events make no jobs for them from now on. Their jobs stay.
UPDATE pgjobs.subscriptions
SET retired_at = now()
WHERE retired_at IS NULL AND name <> ALL (%(kept)s::text[])
RETURNING name, app
