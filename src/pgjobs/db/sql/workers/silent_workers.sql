-- Workers whose last heartbeat is too old, locked for the rescuer: several may try at once. When the server has just
-- started no worker could reach it, so all of them get the time to do so.
SELECT id, host, pid, heartbeat_at
FROM pgjobs.workers
WHERE heartbeat_at < now() - %(timeout)s * interval '1 second'
  AND pg_postmaster_start_time() < now() - %(timeout)s * interval '1 second'
FOR UPDATE SKIP LOCKED
