-- Acknowledge: running → cancelled, because the job itself said so, or because it was asked to. `error` holds the
-- reason: that of the request, if there is one. Where neither gives a reason, the job is left alone.
WITH gone AS (
    DELETE FROM pgjobs.jobs_live AS live
    USING unnest(%(ids)s::bigint[], %(claim_numbers)s::int[], %(reasons)s::text[]) AS a (id, claims, reason)
    WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
      AND live.status = 'running' AND live.worker_id = %(worker_id)s
      AND coalesce(live.cancel_reason, a.reason) IS NOT NULL
    RETURNING live.*, coalesce(live.cancel_reason, a.reason) AS reason
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, errors, error, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, errors, reason, 'cancelled', now()
    FROM gone
    RETURNING 1
)
SELECT id, dependents AS awaited, false AS ends_sequence
FROM gone
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM kept))
