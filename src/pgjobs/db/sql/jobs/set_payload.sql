-- Change the call of a job that has not started, if it is still the one that was looked at.
UPDATE pgjobs.jobs AS j
SET payload = %(payload)s::bytea, signature = %(signature)s::bytea, summary = %(summary)s::text
WHERE j.id = %(id)s AND j.status IN ('queued', 'waiting') AND j.payload = %(before)s::bytea
RETURNING j.id
