-- Jobs that are due, by queue, up to the cap (one more means: there are more): index look-ups only. `queues`: only
-- these (NULL: all). What is paused is not due. `turns`: how many of them wait for their turn, or will in a moment,
-- because their time has just come; `turn` is the smallest id of these.
SELECT names.name AS queue, least(due.n + turns.n, %(cap)s + 1) AS due, least(turns.n, %(cap)s + 1) AS turns,
       turns.id AS turn
FROM pgjobs.queue_names AS names
LEFT JOIN pgjobs.queues AS q ON q.name = names.name
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (SELECT FROM generate_series(0, 9) AS p
          CROSS JOIN LATERAL (
              SELECT FROM pgjobs.jobs_live AS live
              WHERE live.queue = names.name AND live.queue <> '' AND live.status = 'queued'
                AND live.priority = p::smallint
                AND live.run_at <= now()
              LIMIT %(cap)s + 1) AS j
          LIMIT %(cap)s + 1) AS capped
) AS due
CROSS JOIN LATERAL (
    SELECT count(*) AS n, min(id) AS id
    FROM ((SELECT w.id FROM pgjobs.jobs_waiting AS w
           WHERE w.queue = names.name AND w.held IS NULL AND w.lane IS NOT NULL AND w.run_at <= now()
           LIMIT %(cap)s + 1)
          UNION ALL
          (SELECT l.id FROM pgjobs.jobs_waiting AS l
           WHERE l.queue = names.name AND l.held = 'later' AND l.run_at <= now()
           LIMIT %(cap)s + 1)) AS capped
) AS turns
WHERE (%(queues)s::text[] IS NULL OR names.name = ANY (%(queues)s::text[]))
  AND NOT coalesce(q.paused, false)
  AND NOT EXISTS (SELECT FROM pgjobs.switch AS s WHERE s.paused)
  AND due.n + turns.n > 0
ORDER BY names.name
