-- Queued for later → due now. An UPDATE rings no doorbell: see ring.sql.
UPDATE pgjobs.jobs
SET run_at = now(), held = nullif(held, 'later')
WHERE id = ANY (%(ids)s::bigint[]) AND (status = 'queued' OR status = 'waiting' AND held = 'later') AND run_at > now()
RETURNING id, queue
