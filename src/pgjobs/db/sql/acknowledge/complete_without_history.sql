-- Acknowledge: running → gone, for completed jobs of queues that keep nothing. The fence is that of complete.sql.
DELETE FROM pgjobs.jobs_live AS live
WHERE live.id = ANY (%(ids)s::bigint[])
  AND live.status = 'running' AND live.worker_id = %(worker_id)s AND live.dependents IS NULL
  AND CASE WHEN (live.id, live.claims) IN (
          SELECT a.id, a.claims FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[]) AS a (id, claims)
      ) THEN true END
RETURNING live.id
