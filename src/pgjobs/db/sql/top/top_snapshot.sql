-- All that `pgjobs top` shows, in one statement, once a second: one row, a list or a number for each part. Index
-- look-ups and the first rows of indexes only, so that it takes as long with ten million jobs as with a thousand.
-- `part` is a text in lower case that names must have ('' for all).
WITH served AS MATERIALIZED (
    SELECT DISTINCT q.name
    FROM pgjobs.workers AS w
    CROSS JOIN LATERAL jsonb_object_keys(CASE WHEN jsonb_typeof(w.queues) = 'object' THEN w.queues
                                              ELSE '{}' END) AS q (name)
), named AS MATERIALIZED (
    SELECT n.name
    FROM (SELECT q.name FROM pgjobs.queue_names AS q UNION SELECT s.name FROM served AS s) AS n
    WHERE position(%(part)s::text IN lower(n.name)) > 0
), late AS MATERIALIZED (
    SELECT n.name,
           (extract(epoch FROM now())
            - extract(epoch FROM least(queued.run_at, turn.run_at, woken.run_at)))::float8 AS latency
    FROM named AS n
    CROSS JOIN LATERAL (
        WITH RECURSIVE first (priority, run_at) AS (
            (SELECT live.priority, live.run_at
             FROM pgjobs.jobs_live AS live
             WHERE live.queue = n.name AND live.queue <> '' AND live.status = 'queued' AND live.run_at > '-infinity'
             ORDER BY live.priority, live.run_at
             LIMIT 1)
            UNION ALL
            SELECT next.priority, next.run_at
            FROM first
            CROSS JOIN LATERAL (
                SELECT live.priority, live.run_at
                FROM pgjobs.jobs_live AS live
                WHERE live.queue = n.name AND live.queue <> '' AND live.status = 'queued'
                  AND live.priority > first.priority AND live.run_at > '-infinity'
                ORDER BY live.priority, live.run_at
                LIMIT 1) AS next
        )
        SELECT min(first.run_at) AS run_at FROM first WHERE first.run_at <= now()
    ) AS queued
    CROSS JOIN LATERAL (
        SELECT min(first.run_at) AS run_at
        FROM (SELECT w.run_at
              FROM pgjobs.jobs_waiting AS w
              WHERE w.queue = n.name AND w.held IS NULL AND w.lane IS NOT NULL AND w.run_at > '-infinity'
              ORDER BY w.priority, w.lane, w.run_at
              LIMIT 20) AS first
        WHERE first.run_at <= now()
    ) AS turn
    CROSS JOIN LATERAL (
        SELECT min(first.run_at) AS run_at
        FROM (SELECT l.run_at
              FROM pgjobs.jobs_waiting AS l
              WHERE l.queue = n.name AND l.held = 'later' AND l.run_at > '-infinity' AND l.run_at <= now()
              ORDER BY l.run_at
              LIMIT 1) AS first
    ) AS woken
), shown AS MATERIALIZED (
    SELECT l.name, l.latency, coalesce(q.paused, false) AS paused, q.sla
    FROM late AS l
    LEFT JOIN pgjobs.queues AS q ON q.name = l.name
    ORDER BY coalesce(l.latency / q.sla, 0) DESC, coalesce(l.latency, -1) DESC, l.name
    LIMIT %(queues)s
), depths AS (
    SELECT s.name, s.latency, s.paused, s.sla, queued.n + turns.n AS due, minute.busy, minute.ended
    FROM shown AS s
    CROSS JOIN LATERAL (
        SELECT count(*) AS n
        FROM (SELECT FROM generate_series(0, 9) AS p
              CROSS JOIN LATERAL (
                  SELECT FROM pgjobs.jobs_live AS live
                  WHERE live.queue = s.name AND live.queue <> '' AND live.status = 'queued'
                    AND live.priority = p::smallint AND live.run_at <= now()
                  LIMIT %(cap)s + 1) AS j
              LIMIT %(cap)s + 1) AS capped
    ) AS queued
    CROSS JOIN LATERAL (
        SELECT count(*) AS n
        FROM (SELECT FROM pgjobs.jobs_waiting AS w
              WHERE w.queue = s.name AND w.held IS NULL AND w.lane IS NOT NULL AND w.run_at <= now()
              LIMIT %(cap)s + 1) AS capped
    ) AS turns
    LEFT JOIN LATERAL (
        SELECT m.busy, m.completed + m.failed + m.cancelled AS ended
        FROM pgjobs.queue_minutes AS m
        WHERE m.queue = s.name AND m.task = ''
          AND m.minute BETWEEN date_trunc('minute', now()) - interval '2 minutes' AND now()
        ORDER BY m.minute DESC
        LIMIT 1) AS minute ON true
), running AS MATERIALIZED (
    SELECT f.id, f.queue::text AS queue, f.task, f.summary, f.attempt, f.max_attempts, f.worker_id,
           (extract(epoch FROM now()) - extract(epoch FROM f.started_at))::float8 AS seconds, f.cancel_reason
    FROM served AS s
    CROSS JOIN LATERAL (
        SELECT live.id, live.queue, live.task, live.summary, live.attempt, live.max_attempts, live.worker_id,
               live.started_at, live.status, live.cancel_reason
        FROM pgjobs.jobs_live AS live
        WHERE live.queue = s.name AND live.queue <> ''
        ORDER BY live.priority, live.run_at, live.id
        LIMIT greatest(5, 5000 / (SELECT count(*) FROM served))) AS f
    WHERE f.status = 'running'
), oldest AS MATERIALIZED (
    SELECT r.*
    FROM running AS r
    WHERE position(%(part)s::text IN lower(concat_ws(' ', r.queue, r.task, r.summary))) > 0
    ORDER BY r.seconds DESC NULLS LAST, r.id
    LIMIT %(rows)s
), letters AS MATERIALIZED (
    SELECT d.id, d.queue::text AS queue, d.task, left(d.summary, 200) AS summary, left(d.error, 500) AS error,
           d.attempt, (extract(epoch FROM now()) - extract(epoch FROM d.died_at))::float8 AS seconds
    FROM (SELECT * FROM pgjobs.dead_jobs ORDER BY died_at DESC, id DESC LIMIT 1000) AS d
    WHERE position(%(part)s::text IN lower(concat_ws(' ', d.queue, d.task, d.summary, d.error))) > 0
    ORDER BY d.died_at DESC, d.id DESC
    LIMIT %(rows)s
)
SELECT extract(epoch FROM now())::float8 AS now,
       (SELECT coalesce(bool_or(s.paused), false) FROM pgjobs.switch AS s) AS all_paused,
       (SELECT count(*) FROM named) AS queues_in_all,
       (SELECT coalesce(jsonb_agg(to_jsonb(d) || jsonb_build_object('running', coalesce(r.n, 0),
                                                                    'letters', coalesce(l.n, 0))
                                  ORDER BY coalesce(d.latency / d.sla, 0) DESC, coalesce(d.latency, -1) DESC, d.name),
                        '[]')
        FROM depths AS d
        LEFT JOIN (SELECT queue, count(*) AS n FROM running GROUP BY queue) AS r ON r.queue = d.name
        LEFT JOIN (SELECT queue, count(*) AS n FROM letters GROUP BY queue) AS l ON l.queue = d.name) AS queues,
       (SELECT count(*) FROM running) AS running_in_all,
       (SELECT coalesce(jsonb_agg(to_jsonb(o) || jsonb_build_object('done', p.done, 'total', p.total,
                                                                    'message', left(p.message, 200))
                                  ORDER BY o.seconds DESC NULLS LAST, o.id), '[]')
        FROM oldest AS o
        LEFT JOIN pgjobs.progress AS p ON p.job_id = o.id) AS running,
       (SELECT count(*) FROM (SELECT FROM pgjobs.dead_jobs LIMIT 1001) AS d) AS letters_in_all,
       (SELECT coalesce(jsonb_agg(to_jsonb(l) ORDER BY l.seconds, l.id DESC), '[]') FROM letters AS l) AS letters,
       (SELECT coalesce(jsonb_agg(to_jsonb(w) ORDER BY w.id), '[]')
        FROM (SELECT id, host, pid, queues, state, version,
                     (extract(epoch FROM now()) - extract(epoch FROM started_at))::float8 AS up,
                     (extract(epoch FROM now()) - extract(epoch FROM heartbeat_at))::float8 AS silent, rescue_after
              FROM pgjobs.workers
              ORDER BY id
              LIMIT %(rows)s) AS w) AS workers
