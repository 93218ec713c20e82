-- A worker serves more queues, which its patterns match.
UPDATE pgjobs.workers SET queues = queues || %(queues)s::jsonb WHERE id = %(worker_id)s
