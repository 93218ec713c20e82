-- What the runs of a broadcast have returned, or why they have not.
SELECT r.id, r.host, r.worker_id, r.state, r.error, r.traceback, r.value, r.is_json, r.signature
FROM pgjobs.broadcast_runs AS r
WHERE r.broadcast_id = %(broadcast)s
ORDER BY r.host, r.worker_id
