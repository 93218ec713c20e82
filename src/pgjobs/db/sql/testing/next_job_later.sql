-- In how many seconds the next job of a test is due that is to run later. `queues`: NULL: of any queue.
SELECT extract(epoch FROM min(j.run_at) - statement_timestamp())::float8
FROM pgjobs.jobs AS j
WHERE (j.status = 'queued' OR j.status = 'waiting' AND j.held = 'later') AND j.run_at > statement_timestamp()
  AND (%(queues)s::text[] IS NULL OR j.queue = ANY (%(queues)s::text[]))
