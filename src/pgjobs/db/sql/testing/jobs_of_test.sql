-- Jobs as a test looks at them (`pgjobs.testing`). `ids`, `queue`: NULL: whatever they are. A test reads a few rows.
SELECT j.id, j.task, j.queue, j.status, j.priority, j.run_at, j.attempt, j.max_attempts, j.prior_attempts, j.claims,
       j.timeout, j.meta, j.summary, j.payload, j.error, j.held, j.lane IS NOT NULL AS takes_turns,
       extract(epoch FROM j.run_at - statement_timestamp())::float8 AS seconds
FROM pgjobs.jobs AS j
WHERE (%(ids)s::bigint[] IS NULL OR j.id = ANY (%(ids)s::bigint[]))
  AND (%(queue)s::text IS NULL OR j.queue = %(queue)s::text)
ORDER BY j.id
