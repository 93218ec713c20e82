-- The jobs that wait for these steps, locked in the order of their ids before what the steps have added changes them.
SELECT w.id
FROM pgjobs.jobs_waiting AS w
WHERE w.id = ANY (ARRAY (SELECT d.job_id FROM pgjobs.dependencies AS d WHERE d.needs_id = ANY (%(ids)s::bigint[])))
  AND w.held = 'needs'
ORDER BY w.id
FOR UPDATE
