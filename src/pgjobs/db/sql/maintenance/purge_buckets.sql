-- Delete buckets that are full again (a missing row says the same), and those whose limit no longer exists. One that a
-- claim takes tokens from meanwhile is checked again, and stays.
DELETE FROM pgjobs.buckets AS b
WHERE b.at < now() - interval '1 minute'
  AND coalesce(
      (SELECT pgjobs.bucket_tokens(b.tokens, b.at, m.rate, m.period, m.burst)
              >= pgjobs.bucket_capacity(m.rate, m.burst)
       FROM (SELECT l.rate, l.period, l.burst
             FROM pgjobs.limits AS l
             WHERE b.kind = 'limit' AND l.name IN (b.name, pgjobs.pattern_of(b.name))
             ORDER BY l.name = b.name DESC
             LIMIT 1) AS m),
      (SELECT pgjobs.bucket_tokens(b.tokens, b.at, q.rate, q.period, q.burst)
              >= pgjobs.bucket_capacity(q.rate, q.burst)
       FROM pgjobs.queues AS q
       WHERE b.kind = 'queue' AND q.name = b.name),
      true)
