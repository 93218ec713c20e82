-- Have a subscription drop its events until it is resumed.
UPDATE pgjobs.subscriptions SET drops_since = now() WHERE name = %(subscription)s AND drops_since IS NULL RETURNING name
