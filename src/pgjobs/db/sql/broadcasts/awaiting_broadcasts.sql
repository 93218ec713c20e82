-- Which of these workers have a broadcast to run, or their hosts.
SELECT w.id
FROM pgjobs.workers AS w
WHERE w.id = ANY (%(worker_ids)s::bigint[])
  AND EXISTS (SELECT FROM pgjobs.broadcast_runs AS r
              WHERE r.host = w.host AND (r.worker_id = w.id OR r.worker_id IS NULL) AND r.state = 'queued')
