-- Change the call of a dead letter, if it is still the one that was looked at.
UPDATE pgjobs.dead_jobs AS d
SET payload = %(payload)s::bytea, signature = %(signature)s::bytea, summary = %(summary)s::text
WHERE d.id = %(id)s AND d.payload = %(before)s::bytea
RETURNING d.id
