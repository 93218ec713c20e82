-- A batch of the jobs that a filter finds, by id, from where the last one ended. `tasks` are LIKE patterns. History is
-- looked at day by day, as in list_jobs.sql.
SELECT id
FROM (SELECT id
      FROM pgjobs.jobs
      WHERE status IN ('waiting', 'queued', 'running') AND status = ANY (%(statuses)s::text[])
        AND id > %(after)s::bigint AND id <= %(until)s::bigint
        AND (%(queue)s::text IS NULL OR queue = %(queue)s::text)
        AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
      UNION ALL
      SELECT e.id
      FROM pgjobs.select_ended(%(statuses)s::text[], %(queue)s::text, %(tasks)s::text[], %(after)s::bigint,
                               %(until)s::bigint, %(batch)s::bigint) AS e (id)
      WHERE %(statuses)s::text[] && ARRAY['completed', 'failed', 'cancelled']) AS found
ORDER BY id
LIMIT %(batch)s
