-- For later → due now, whether queued or waiting for its turn. An UPDATE rings no doorbell: see notify_queues.sql.
UPDATE pgjobs.jobs
SET run_at = now(), held = NULL
WHERE id = ANY (%(ids)s::bigint[]) AND run_at > now()
  AND (status = 'queued' OR (status = 'waiting' AND held = 'later'))
RETURNING id, queue
