-- Write what came of it.
UPDATE pgjobs.audit
SET ended_at = clock_timestamp(), number = %(number)s::bigint, outcome = %(outcome)s::text, failed = %(failed)s::boolean
WHERE id = %(id)s AND ended_at IS NULL
RETURNING id
