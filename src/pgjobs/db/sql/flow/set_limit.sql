-- Set the limit of a key, or of a pattern of keys, as an operator: code that declares it then leaves it alone.
INSERT INTO pgjobs.limits AS l (name, concurrency, rate, period, burst)
VALUES (%(key)s, %(concurrency)s::integer, %(rate)s::float8, make_interval(secs => %(period)s::float8),
        %(burst)s::float8)
ON CONFLICT (name) DO UPDATE
SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period, burst = excluded.burst,
    set_by = 'operator', updated_at = now()
RETURNING name
