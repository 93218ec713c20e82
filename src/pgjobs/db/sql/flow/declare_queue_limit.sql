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
  AND coalesce(q.declared, jsonb_build_array(NULL, NULL, NULL, NULL))
      = jsonb_build_array(q.concurrency, q.rate, extract(epoch FROM q.period), q.burst)
