-- How many jobs a filter finds, and the largest id: jobs that are enqueued later are excluded. History is looked at day
-- by day, as in list_jobs.sql.
SELECT sum(found.jobs)::bigint AS jobs, coalesce(max(found.until), 0) AS until
FROM (SELECT count(*) AS jobs, max(id) AS until
      FROM pgjobs.jobs
      WHERE status IN ('waiting', 'queued', 'running') AND status = ANY (%(statuses)s::text[])
        AND (%(queue)s::text IS NULL OR queue = %(queue)s::text)
        AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
      UNION ALL
      SELECT *
      FROM pgjobs.count_ended(%(statuses)s::text[], %(queue)s::text, %(tasks)s::text[])
      WHERE %(statuses)s::text[] && ARRAY['completed', 'failed', 'cancelled']) AS found
