-- Hand back: running → queued, at its old place in the queue. The attempt does not count: the job was claimed and not
-- started, or its worker was stopped before it could finish. A job that was asked to be cancelled is left to
-- cancel.sql.
UPDATE pgjobs.jobs_live AS live
SET status = 'queued', attempt = greatest(live.attempt - 1, 0), worker_id = NULL, started_at = NULL
FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[]) AS a (id, claims)
WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
  AND live.status = 'running' AND live.worker_id = %(worker_id)s
  AND live.cancel_reason IS NULL
RETURNING live.id, live.lane IS NOT NULL AS controlled
