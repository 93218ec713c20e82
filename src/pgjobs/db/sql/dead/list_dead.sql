-- Dead letters, the newest first; every filter may be NULL. `queue` is a LIKE pattern, `before` the id of a letter.
-- `died_before`: when that one died, for the case that it is gone.
SELECT id, queue, task, summary, attempt, max_attempts, prior_attempts, enqueued_at, died_at, error
FROM pgjobs.dead_jobs
WHERE (%(queue)s::text IS NULL OR queue LIKE %(queue)s::text)
  AND (%(tasks)s::text[] IS NULL OR task LIKE ANY (%(tasks)s::text[]))
  AND (%(before)s::bigint IS NULL
       OR (died_at, id) < (coalesce(CAST(%(died_before)s AS timestamptz),
                                    (SELECT d.died_at FROM pgjobs.dead_jobs AS d WHERE d.id = %(before)s::bigint)),
                           %(before)s::bigint))
ORDER BY died_at DESC, id DESC
LIMIT %(limit)s
