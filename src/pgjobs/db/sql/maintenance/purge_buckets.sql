-- Forget buckets that are full again, which no row says as well, and those of limits that are gone. One that somebody
-- takes tokens from meanwhile is looked at again, and stays.
DELETE FROM pgjobs.buckets AS b
WHERE b.at < now() - interval '1 minute'
  AND coalesce(
      (SELECT b.tokens + extract(epoch FROM now() - b.at)::float8 * m.rate / extract(epoch FROM m.period)::float8
              >= coalesce(m.burst, greatest(m.rate, 1))
       FROM (SELECT l.rate, l.period, l.burst
             FROM pgjobs.limits AS l
             WHERE b.kind = 'limit' AND l.name IN (b.name, regexp_replace(b.name, '[^:]*$', '*'))
             ORDER BY l.name = b.name DESC
             LIMIT 1) AS m
       WHERE m.rate IS NOT NULL),
      (SELECT b.tokens + extract(epoch FROM now() - b.at)::float8 * q.rate / extract(epoch FROM q.period)::float8
              >= coalesce(q.burst, greatest(q.rate, 1))
       FROM pgjobs.queues AS q
       WHERE b.kind = 'queue' AND q.name = b.name AND q.rate IS NOT NULL),
      true)
