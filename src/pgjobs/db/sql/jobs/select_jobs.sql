-- A batch of the jobs that a filter finds, by id, from where the last one ended. `tasks` are LIKE patterns.
SELECT id
FROM pgjobs.jobs
WHERE status = ANY (%(statuses)s::text[])
  AND id > %(after)s::bigint AND id <= %(until)s::bigint
  AND (%(queue)s::text IS NULL OR queue = %(queue)s::text)
  AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
ORDER BY id
LIMIT %(batch)s
