-- A worker's process is up: its own pid, and what it is doing (running, draining).
UPDATE pgjobs.workers SET pid = %(pid)s, state = %(state)s, heartbeat_at = now() WHERE id = %(worker_id)s RETURNING id
