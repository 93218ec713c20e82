-- Steps that other steps have added, and will add again: they are no steps any longer.
WITH edges AS (
    DELETE FROM pgjobs.dependencies AS d WHERE d.needs_id = ANY (%(ids)s::bigint[])
)
DELETE FROM pgjobs.workflow_steps AS s WHERE s.job_id = ANY (%(ids)s::bigint[]) RETURNING s.job_id
