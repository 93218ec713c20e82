-- Write the new state of a breaker. `changed_by` is kept while it only counts.
UPDATE pgjobs.breakers
SET state = %(state)s, until = to_timestamp(%(until)s::float8), forced = %(forced)s, passed = %(passed)s,
    calls = %(calls)s::jsonb, streak = %(streak)s, changed_at = to_timestamp(%(since)s::float8),
    reason = nullif(%(reason)s, ''),
    changed_by = coalesce(%(by)s, changed_by)
WHERE name = %(name)s
