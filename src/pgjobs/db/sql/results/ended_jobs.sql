-- Which of these jobs neither run nor wait to run. For all that a process waits for, so it only looks ids up; what came
-- of those that have ended is asked for them alone.
SELECT a.id
FROM unnest(%(ids)s::bigint[]) AS a (id)
WHERE NOT EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = a.id)
  AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS j WHERE j.id = a.id)
