-- Remove a subscription that no code declares any longer.
DELETE FROM pgjobs.subscriptions WHERE name = %(subscription)s AND retired_at IS NOT NULL RETURNING name
