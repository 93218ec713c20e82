-- What set_others_aside.sql has put aside.
UPDATE pgjobs.jobs_waiting
SET held = NULL
WHERE id = ANY (%(ids)s::bigint[]) AND held = 'task'
RETURNING id
