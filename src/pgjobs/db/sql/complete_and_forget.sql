-- Acknowledge: running → gone, for completed jobs of queues that keep nothing. The fence is that of complete.sql.
DELETE FROM pgjobs.jobs_live AS live
USING unnest(%(ids)s::bigint[], %(claims)s::int[]) AS a (id, claims)
WHERE live.id = a.id AND live.claims = a.claims
  AND live.status = 'running' AND live.worker_id = %(worker_id)s
RETURNING live.id
