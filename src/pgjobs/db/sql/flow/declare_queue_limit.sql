-- Write the limit that code declares for a queue. A limit that an operator has changed stays as it is.
INSERT INTO pgjobs.queues AS q (name, concurrency, rate, period, burst, declared)
VALUES (%(name)s, %(concurrency)s::integer, %(rate)s::float8, make_interval(secs => %(period)s::float8),
        %(burst)s::float8,
        jsonb_build_array(%(concurrency)s::integer, %(rate)s::float8,
                          extract(epoch FROM make_interval(secs => %(period)s::float8)), %(burst)s::float8))
ON CONFLICT (name) DO UPDATE
SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period, burst = excluded.burst,
    declared = excluded.declared
WHERE q.declared IS DISTINCT FROM excluded.declared
  AND ((q.declared ->> 0)::integer, (q.declared ->> 1)::float8, (q.declared ->> 2)::float8, (q.declared ->> 3)::float8)
      IS NOT DISTINCT FROM (q.concurrency, q.rate, extract(epoch FROM q.period)::float8, q.burst)
