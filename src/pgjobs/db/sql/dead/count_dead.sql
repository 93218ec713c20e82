-- How many dead letters a replay or a discard would find, and PostgreSQL's clock. Letters written later are excluded,
-- so that a job which fails again is not replayed in a loop.
SELECT count(*) AS letters, clock_timestamp() AS until
FROM pgjobs.dead_jobs
WHERE (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s::bigint[]))
  AND (%(queue)s::text IS NULL OR queue LIKE %(queue)s::text)
  AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
