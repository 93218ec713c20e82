-- The jobs that wait for these jobs.
SELECT DISTINCT job_id AS id FROM pgjobs.dependencies WHERE needs_id = ANY (%(ids)s::bigint[]) ORDER BY job_id
