-- In how many seconds the next job of these queues is due: among those that were not due when a drain looked,
-- `looked_ago` seconds ago, and will be within `within` seconds. Index look-ups only. What is paused is not due.
SELECT extract(epoch FROM min(next.run_at) - clock_timestamp())::float8
FROM unnest(%(queues)s::text[]) AS names (name)
LEFT JOIN pgjobs.queues AS q ON q.name = names.name
CROSS JOIN LATERAL (
    (SELECT min(first.run_at) AS run_at
     FROM generate_series(0, 9) AS p (priority)
     CROSS JOIN LATERAL (
         SELECT live.run_at
         FROM pgjobs.jobs_live AS live
         WHERE live.queue = names.name AND live.queue <> ''
           AND live.status = 'queued'
           AND live.priority = p.priority::smallint
           AND live.run_at > now() - %(looked_ago)s::float8 * interval '1 second'
           AND live.run_at <= now() + %(within)s::float8 * interval '1 second'
         ORDER BY live.run_at, live.id
         LIMIT 1) AS first)
    UNION ALL
    (SELECT l.run_at
     FROM pgjobs.jobs_waiting AS l
     WHERE l.queue = names.name AND l.held = 'later'
       AND l.run_at > now() - %(looked_ago)s::float8 * interval '1 second'
       AND l.run_at <= now() + %(within)s::float8 * interval '1 second'
     ORDER BY l.run_at
     LIMIT 1)
) AS next
WHERE NOT coalesce(q.paused, false)
  AND NOT EXISTS (SELECT FROM pgjobs.switch AS s WHERE s.paused)
