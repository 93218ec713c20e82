-- Which of these limits and breakers (limit:api, breaker:stripe) have room for a job of that cost. One that is gone
-- has.
SELECT k.key
FROM unnest(%(keys)s::text[], %(costs)s::float8[]) AS k (key, cost)
WHERE NOT EXISTS (SELECT FROM pgjobs.room_of_limit(substr(k.key, 7)) AS m
                  WHERE starts_with(k.key, 'limit:')
                    AND (coalesce(m.slots, 1) <= 0 OR m.tokens + 1e-9 < k.cost))
  AND NOT EXISTS (SELECT FROM pgjobs.room_of_breaker(substr(k.key, 9)) AS m
                  WHERE starts_with(k.key, 'breaker:') AND m.probes <= 0)
