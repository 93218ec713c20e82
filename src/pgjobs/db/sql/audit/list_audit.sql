-- What was done, the newest first; every filter may be NULL.
SELECT id, at, by, via, action, target, number, outcome, failed, ended_at
FROM pgjobs.audit
WHERE (%(by)s::text IS NULL OR by = %(by)s::text)
  AND (%(action)s::text IS NULL OR action = %(action)s::text)
  AND (%(before)s::bigint IS NULL OR id < %(before)s::bigint)
ORDER BY id DESC
LIMIT %(limit)s
