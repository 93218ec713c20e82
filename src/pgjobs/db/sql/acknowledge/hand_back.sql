-- Hand back: running → queued, at its old place in the queue. The attempt does not count: the job was claimed and not
-- started, or its worker was stopped before it could finish. A job that was asked to be cancelled is left to
-- cancel.sql.
-- `prior_attempts` of 0 says that a job has begun whose attempt does not count: see the function enqueue_after_checks.
UPDATE pgjobs.jobs_live AS live
SET status = 'queued', attempt = greatest(live.attempt - 1, 0), worker_id = NULL, started_at = NULL,
    prior_attempts = CASE WHEN a.began AND live.attempt <= 1 THEN coalesce(live.prior_attempts, 0)
                          ELSE live.prior_attempts END,
    isolate = CASE WHEN a.isolate THEN true ELSE live.isolate END
FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[], %(began)s::boolean[], %(isolates)s::boolean[])
     AS a (id, claims, began, isolate)
WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
  AND live.status = 'running' AND live.worker_id = %(worker_id)s
  AND live.cancel_reason IS NULL
RETURNING live.id, live.lane IS NOT NULL AS controlled
