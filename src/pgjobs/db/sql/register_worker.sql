-- A new worker. Its row is committed before its first claim, so whoever sees the claim sees the worker.
INSERT INTO pgjobs.workers (host, pid, queues, version)
VALUES (%(host)s, %(pid)s, %(queues)s::jsonb, %(version)s)
RETURNING id
