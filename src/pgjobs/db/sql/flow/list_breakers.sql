-- Breakers with their settings and counts, and how many of their jobs run: all of them, or one.
SELECT b.name, b.state, b.until, b.forced, b.failures, extract(epoch FROM b.period)::float8 AS window, b.min_calls,
       extract(epoch FROM b.cooldown)::float8 AS cooldown, b.probes, b.passed, b.calls, b.changed_at, b.changed_by,
       b.reason, clock_timestamp() AS now,
       (SELECT count(*) FROM pgjobs.jobs_live AS live WHERE live.breaker = b.name AND live.status = 'running')
           AS running
FROM pgjobs.breakers AS b
WHERE %(only)s::text IS NULL OR b.name = %(only)s
ORDER BY b.name
