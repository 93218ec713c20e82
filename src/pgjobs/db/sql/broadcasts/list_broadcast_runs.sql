-- What came of a broadcast in each worker process, or host.
SELECT r.host, r.worker_id, r.pid, r.state, r.started_at, r.finished_at, r.error, r.traceback
FROM pgjobs.broadcast_runs AS r
WHERE r.broadcast_id = %(broadcast)s
ORDER BY r.host, r.worker_id
