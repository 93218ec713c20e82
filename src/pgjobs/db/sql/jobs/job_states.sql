-- The states of these jobs, for the line that says why one of them was left alone. For `ended_at` see find_ended.sql.
SELECT DISTINCT ON (id) id, status, run_at <= now() AS due
FROM (SELECT id, status, run_at, finished_at
      FROM pgjobs.jobs
      WHERE id = ANY (%(ids)s::bigint[]) AND status IN ('queued', 'waiting', 'running')
      UNION ALL
      SELECT id, status, run_at, finished_at
      FROM pgjobs.jobs_history
      WHERE id = ANY (%(ids)s::bigint[])
        AND (finished_at = ANY (%(ended_at)s::timestamptz[]) OR finished_at IS NULL)) AS found
ORDER BY id, finished_at DESC
