-- Have a subscription get its events again.
UPDATE pgjobs.subscriptions SET drops_since = NULL
WHERE name = %(subscription)s AND drops_since IS NOT NULL
RETURNING name
