-- Workers that have not been heard from for too long, locked for the rescuer: several may try at once.
SELECT id, host, pid, heartbeat_at
FROM pgjobs.workers
WHERE heartbeat_at < now() - %(timeout)s * interval '1 second'
FOR UPDATE SKIP LOCKED
