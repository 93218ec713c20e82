-- Write the limit that code declares for a key. A limit that an operator has changed stays as it is.
INSERT INTO pgjobs.limits AS l (name, concurrency, rate, period, burst, set_by, declared)
VALUES (%(name)s, %(concurrency)s::integer, %(rate)s::float8, make_interval(secs => %(period)s::float8),
        %(burst)s::float8, 'code',
        jsonb_build_array(%(concurrency)s::integer, %(rate)s::float8,
                          extract(epoch FROM make_interval(secs => %(period)s::float8)), %(burst)s::float8))
ON CONFLICT (name) DO UPDATE
SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period, burst = excluded.burst,
    declared = excluded.declared, updated_at = now()
WHERE l.set_by = 'code' AND l.declared <> excluded.declared
  AND ((l.declared ->> 0)::integer, (l.declared ->> 1)::float8, (l.declared ->> 2)::float8, (l.declared ->> 3)::float8)
      IS NOT DISTINCT FROM (l.concurrency, l.rate, extract(epoch FROM l.period)::float8, l.burst)
