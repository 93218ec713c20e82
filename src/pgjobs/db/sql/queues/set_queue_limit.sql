-- Set the limit of a queue, even of one that does not exist yet. Code that declares one then leaves it alone.
INSERT INTO pgjobs.queues AS q (name, concurrency, rate, period, burst)
VALUES (%(queue)s, %(concurrency)s::integer, %(rate)s::float8, make_interval(secs => %(period)s::float8),
        %(burst)s::float8)
ON CONFLICT (name) DO UPDATE
SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period, burst = excluded.burst
RETURNING name
