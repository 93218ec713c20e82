-- Read a breaker in order to write it in the same transaction: several workers may report outcomes at once.
SELECT state, extract(epoch FROM until)::float8, forced, extract(epoch FROM changed_at)::float8, calls, streak, passed,
       coalesce(reason, ''), failures, extract(epoch FROM period)::float8, min_calls,
       extract(epoch FROM cooldown)::float8, probes, extract(epoch FROM clock_timestamp())::float8
FROM pgjobs.breakers
WHERE name = %(name)s
FOR NO KEY UPDATE
