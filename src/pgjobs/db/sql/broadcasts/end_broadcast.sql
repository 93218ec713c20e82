-- What came of a run, unless its worker was considered dead meanwhile.
UPDATE pgjobs.broadcast_runs
SET state = %(state)s, finished_at = now(), error = %(error)s, traceback = %(traceback)s, is_json = %(is_json)s,
    signature = %(signature)s, value = %(value)s
WHERE id = %(id)s AND worker_id = %(worker_id)s AND state = 'running'
RETURNING id
