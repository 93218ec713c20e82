-- Lock the next batch of dead letters that are to be replayed, in the order in which they died. A letter that another
-- transaction has locked is left to it, and one whose sequence has still to end is left to end_sequences.sql.
SELECT id, died_at, finished_at
FROM pgjobs.dead_jobs
WHERE died_at <= %(until)s::timestamptz
  AND ends_sequence IS NOT TRUE
  AND (died_at, id) > (%(after_died_at)s::timestamptz, %(after_id)s::bigint)
  AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s::bigint[]))
  AND (%(queue)s::text IS NULL OR queue LIKE %(queue)s::text)
  AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
ORDER BY died_at, id
LIMIT %(batch)s
FOR UPDATE SKIP LOCKED
