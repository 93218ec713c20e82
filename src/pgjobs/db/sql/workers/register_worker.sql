-- A new worker. Its row is committed before its first claim, so a transaction that sees the claim sees the worker.
INSERT INTO pgjobs.workers (host, pid, queues, version, rescue_after, signs, pooled, clock_ahead)
VALUES (%(host)s, %(pid)s, %(queues)s::jsonb, %(version)s, %(rescue_after)s, %(signs)s, %(pooled)s,
        %(clock)s::float8 - extract(epoch FROM clock_timestamp()))
RETURNING id
