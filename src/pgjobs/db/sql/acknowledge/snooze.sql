-- Acknowledge: running → queued, later, because the job asked to run at another time. The attempt does not count. A
-- job that was asked to be cancelled is left to cancel.sql. `prior_attempts`: see hand_back.sql.
UPDATE pgjobs.jobs_live AS live
SET status = 'queued', attempt = greatest(live.attempt - 1, 0), run_at = now() + a.delay * interval '1 second',
    worker_id = NULL, started_at = NULL,
    prior_attempts = CASE WHEN a.began AND live.attempt <= 1 THEN coalesce(live.prior_attempts, 0)
                          ELSE live.prior_attempts END
FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[], %(delays)s::float8[], %(began)s::boolean[])
     AS a (id, claims, delay, began)
WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
  AND live.status = 'running' AND live.worker_id = %(worker_id)s
  AND live.cancel_reason IS NULL
RETURNING live.id, live.lane IS NOT NULL AS controlled
