-- The next run of a worker process, or of its host. A thread runs one after another, so one that is running here was
-- claimed by a statement whose answer was lost: it has not begun.
WITH next AS (
    SELECT r.id
    FROM pgjobs.broadcast_runs AS r
    WHERE r.host = (SELECT w.host FROM pgjobs.workers AS w WHERE w.id = %(worker_id)s)
      AND (r.worker_id = %(worker_id)s OR r.worker_id IS NULL) AND r.state IN ('queued', 'running')
    ORDER BY r.id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE pgjobs.broadcast_runs AS r
SET state = 'running', started_at = now(), worker_id = %(worker_id)s, pid = %(pid)s
FROM next, pgjobs.broadcasts AS b
WHERE r.id = next.id AND b.id = r.broadcast_id
RETURNING r.id, b.id, b.target, b.task, b.timeout, b.signature, b.payload
