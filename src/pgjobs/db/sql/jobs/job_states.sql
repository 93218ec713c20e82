-- The states of these jobs, for the line that says why one of them was left alone.
SELECT DISTINCT ON (id) id, status, run_at <= now() AS due
FROM pgjobs.jobs
WHERE id = ANY (%(ids)s::bigint[])
ORDER BY id, finished_at DESC
