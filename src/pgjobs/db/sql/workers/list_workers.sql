-- The workers, and how long ago the last heartbeat of each was, by PostgreSQL's clock.
SELECT id, host, pid, queues, version, state, started_at, heartbeat_at,
       (extract(epoch FROM now()) - extract(epoch FROM heartbeat_at))::float8 AS heartbeat_age_seconds,
       rescue_after::float8 AS rescue_after
FROM pgjobs.workers
ORDER BY id
