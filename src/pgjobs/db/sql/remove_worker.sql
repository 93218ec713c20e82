-- A worker that is gone, after its jobs were settled.
DELETE FROM pgjobs.workers WHERE id = ANY (%(worker_ids)s::bigint[])
