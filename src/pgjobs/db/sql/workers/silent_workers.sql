-- Workers that have not been heard from for too long, locked for the rescuer: several may try at once. When the server
-- has just come up nobody could be heard, so everybody gets the time to be heard again.
SELECT id, host, pid, heartbeat_at
FROM pgjobs.workers
WHERE heartbeat_at < now() - %(timeout)s * interval '1 second'
  AND pg_postmaster_start_time() < now() - %(timeout)s * interval '1 second'
FOR UPDATE SKIP LOCKED
