-- Those of these jobs that are signed for another queue than the one they are to go to, locked for the move.
SELECT id, queue, task, executor, timeout, meta, payload, signature
FROM pgjobs.jobs
WHERE id = ANY (%(ids)s::bigint[]) AND status IN ('queued', 'waiting')
  AND signature IS NOT NULL AND queue <> %(queue)s::text
FOR UPDATE SKIP LOCKED
