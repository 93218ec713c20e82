-- The supervisor beats for its workers. A worker that does not come back was taken for dead, and rescued.
UPDATE pgjobs.workers SET heartbeat_at = now() WHERE id = ANY (%(worker_ids)s::bigint[]) RETURNING id
