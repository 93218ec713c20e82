-- Queued for later → due now. An UPDATE rings no doorbell: see ring.sql.
UPDATE pgjobs.jobs_live
SET run_at = now()
WHERE id = ANY (%(ids)s::bigint[]) AND status = 'queued' AND run_at > now()
RETURNING id, queue
