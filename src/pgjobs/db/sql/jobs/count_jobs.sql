-- How many jobs a filter finds, and the largest id: jobs that are enqueued later are excluded.
SELECT count(*) AS jobs, coalesce(max(id), 0) AS until
FROM pgjobs.jobs
WHERE status = ANY (%(statuses)s::text[])
  AND (%(queue)s::text IS NULL OR queue = %(queue)s::text)
  AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
