-- The supervisor sends heartbeats for its workers. A worker that is not returned was considered dead, and rescued.
UPDATE pgjobs.workers SET heartbeat_at = now() WHERE id = ANY (%(worker_ids)s::bigint[]) RETURNING id
