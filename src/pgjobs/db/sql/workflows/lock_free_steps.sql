-- Steps that have not started, as far as no other transaction has them: a look must not wait for an application.
SELECT j.id FROM pgjobs.jobs AS j
WHERE j.id = ANY (%(ids)s::bigint[]) AND j.status IN ('queued', 'waiting')
ORDER BY j.id FOR UPDATE SKIP LOCKED
