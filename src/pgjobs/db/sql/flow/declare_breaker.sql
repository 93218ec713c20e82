-- Write the settings that code declares for a breaker. Its state is left alone, and so is a row that has them already.
INSERT INTO pgjobs.breakers AS b (name, failures, period, min_calls, cooldown, probes)
VALUES (%(name)s, %(failures)s, make_interval(secs => %(period)s), %(min_calls)s, make_interval(secs => %(cooldown)s),
        %(probes)s)
ON CONFLICT (name) DO UPDATE
SET failures = excluded.failures, period = excluded.period, min_calls = excluded.min_calls,
    cooldown = excluded.cooldown, probes = excluded.probes
WHERE (b.failures, b.period, b.min_calls, b.cooldown, b.probes)
      IS DISTINCT FROM (excluded.failures, excluded.period, excluded.min_calls, excluded.cooldown, excluded.probes)
