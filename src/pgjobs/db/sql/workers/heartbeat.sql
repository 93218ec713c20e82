-- The supervisor sends heartbeats for its workers. A worker that is not returned was considered dead, and rescued. Of
-- each other one: whether it has a broadcast to run, or its host.
UPDATE pgjobs.workers AS w SET heartbeat_at = now()
WHERE w.id = ANY (%(worker_ids)s::bigint[])
RETURNING w.id,
          EXISTS (SELECT FROM pgjobs.broadcast_runs AS r
                  WHERE r.host = w.host AND (r.worker_id = w.id OR r.worker_id IS NULL) AND r.state = 'queued')
              AS awaits_broadcast
