-- What can be wrong with an installation, in one statement: one row, an object or a list for each part.
--
-- What no index can find is read from the first %(scan)s rows of a table (0: not at all, where that takes too long).
WITH some_live AS MATERIALIZED (
    SELECT id, status, worker_id, signature IS NOT NULL AS signed, task, error
    FROM pgjobs.jobs_live LIMIT %(scan)s
), some_waiting AS MATERIALIZED (
    SELECT limit_key, breaker, split_part(lane, E'\x1f', 1) AS tenant, signature IS NOT NULL AS signed,
           id, held, enqueued_at
    FROM pgjobs.jobs_waiting LIMIT %(scan)s
), running_keys AS MATERIALIZED (
    SELECT limit_key, breaker, split_part(lane, E'\x1f', 1) AS tenant FROM pgjobs.jobs_live WHERE limit_key IS NOT NULL
    UNION ALL
    SELECT limit_key, breaker, split_part(lane, E'\x1f', 1) FROM pgjobs.jobs_live WHERE breaker IS NOT NULL
), used AS MATERIALIZED (
    SELECT limit_key, breaker, tenant FROM some_waiting
    UNION
    SELECT limit_key, breaker, tenant FROM running_keys
)
SELECT
    clock_timestamp() AS now,
    current_setting('server_version_num')::int AS server_version,
    pg_is_in_recovery() AS replica,
    -- What a session begins with: ours has set some of it for itself.
    (SELECT jsonb_object_agg(s.name, s.reset_val)
     FROM pg_settings AS s
     WHERE s.name IN ('autovacuum', 'track_counts', 'track_activities', 'fsync', 'full_page_writes',
                      'synchronous_commit', 'default_transaction_read_only', 'max_connections')) AS settings,
    (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()) AS frozen_age,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'name', t.relname, 'live', t.n_live_tup, 'dead', t.n_dead_tup,
                'vacuumed', (extract(epoch FROM now())
                    - extract(epoch FROM greatest(t.last_autovacuum, t.last_vacuum))),
                'off', coalesce('autovacuum_enabled=off' = ANY (c.reloptions)
                                OR 'autovacuum_enabled=false' = ANY (c.reloptions), false))), '[]')
     FROM pg_stat_user_tables AS t
     JOIN pg_class AS c ON c.oid = t.relid
     WHERE t.relid IN ('pgjobs.jobs_live'::regclass, 'pgjobs.jobs_waiting'::regclass, 'pgjobs.queues'::regclass,
                       'pgjobs.workers'::regclass)) AS tables,
    (SELECT coalesce(jsonb_agg(s), '[]')
     FROM (SELECT * FROM pgjobs.held_snapshots() ORDER BY transactions DESC NULLS LAST LIMIT 20) AS s) AS snapshots,
    (SELECT coalesce(jsonb_agg(to_jsonb(w)
                               || jsonb_build_object(
                                   'silent_for', extract(epoch FROM now()) - extract(epoch FROM w.heartbeat_at),
                                   'up_for', extract(epoch FROM now()) - extract(epoch FROM w.started_at))), '[]')
     FROM (SELECT * FROM pgjobs.workers ORDER BY id LIMIT 1000) AS w) AS workers,
-- Of each queue, the oldest due job, and the oldest of some lanes.
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'name', names.name, 'paused', coalesce(q.paused, false), 'created', q.name IS NOT NULL,
                'paused_for', (extract(epoch FROM now()) - extract(epoch FROM q.paused_at)),
                'sla', q.sla, 'due', due.jobs)), '[]')
     FROM pgjobs.queue_names AS names
     LEFT JOIN pgjobs.queues AS q ON q.name = names.name
     CROSS JOIN LATERAL (
         SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'id', d.id, 'due_for', extract(epoch FROM now()) - extract(epoch FROM d.run_at))), '[]') AS jobs
         FROM ((SELECT first.id, first.run_at
                FROM generate_series(0, 9) AS p
                CROSS JOIN LATERAL (
                    SELECT j.id, j.run_at
                    FROM pgjobs.jobs_live AS j
                    WHERE j.queue = names.name AND j.queue <> '' AND j.status = 'queued' AND j.priority = p::smallint
                      AND j.run_at > '-infinity' AND j.run_at <= now()
                    ORDER BY j.run_at
                    LIMIT 1) AS first
                ORDER BY first.run_at
                LIMIT 1)
               UNION ALL
               (WITH RECURSIVE lanes (priority, lane, run_at, id, n) AS (
                    (SELECT w.priority, w.lane, w.run_at, w.id, 1
                     FROM pgjobs.jobs_waiting AS w
                     WHERE w.queue = names.name AND w.held IS NULL AND w.lane IS NOT NULL
                     ORDER BY w.priority, w.lane, w.run_at
                     LIMIT 1)
                    UNION ALL
                    SELECT next.priority, next.lane, next.run_at, next.id, lanes.n + 1
                    FROM lanes
                    CROSS JOIN LATERAL (
                        SELECT w.priority, w.lane, w.run_at, w.id
                        FROM pgjobs.jobs_waiting AS w
                        WHERE w.queue = names.name AND w.held IS NULL AND w.lane IS NOT NULL
                          AND (w.priority, w.lane) > (lanes.priority, lanes.lane)
                        ORDER BY w.priority, w.lane, w.run_at
                        LIMIT 1) AS next
                    WHERE lanes.n < 5
                )
                SELECT lanes.id, lanes.run_at FROM lanes WHERE lanes.run_at <= now())) AS d) AS due) AS queues,
-- Of each queue, a due job for which running jobs of it wait, and how many run there in all.
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'queue', a.queue, 'id', a.id, 'waiters', a.waiters, 'running', running.jobs)), '[]')
     FROM (SELECT DISTINCT ON (l.queue) l.queue, n.id, jsonb_agg(l.id ORDER BY l.id) AS waiters
           FROM (SELECT * FROM pgjobs.progress WHERE waits_for IS NOT NULL LIMIT 1000) AS p
           JOIN pgjobs.jobs_live AS l ON l.id = p.job_id AND l.claims = p.waits_claim AND l.status = 'running'
           CROSS JOIN LATERAL (SELECT j.id FROM pgjobs.jobs AS j
                               WHERE j.id = ANY (p.waits_for) AND j.status IN ('queued', 'waiting')
                                 AND j.queue = l.queue AND j.held IS NULL AND j.run_at <= now()
                               ORDER BY j.id LIMIT 1) AS n
           GROUP BY l.queue, n.id
           ORDER BY l.queue, n.id) AS a
     CROSS JOIN LATERAL (
         SELECT count(*) FILTER (WHERE j.status = 'running') AS jobs
         FROM generate_series(0, 9) AS p
         CROSS JOIN LATERAL (
             SELECT live.status FROM pgjobs.jobs_live AS live
             WHERE live.queue = a.queue AND live.queue <> '' AND live.priority = p::smallint AND live.run_at <= now()
             ORDER BY live.run_at, live.id
             LIMIT 1000) AS j) AS running) AS awaited,
    (SELECT coalesce(jsonb_agg(d.day ORDER BY d.day), '[]')
     FROM (SELECT (now() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, 1) AS n) AS d
     WHERE to_regclass('pgjobs.jobs_history_' || to_char(d.day, 'YYYYMMDD')) IS NULL) AS missing_days,
-- Days that were detached, or almost: workers make no partition where there is a table of its name.
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'name', d.name, 'pending', i.inhrelid IS NOT NULL,
                'coming', right(d.name, 8) >= to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD'))
                               ORDER BY d.name DESC), '[]')
     FROM (SELECT oid, relname::text AS name FROM pg_class
           WHERE relnamespace = 'pgjobs'::regnamespace AND relkind = 'r' AND relname ~ '^jobs_history_[0-9]{8}$') AS d
     LEFT JOIN pg_inherits AS i ON i.inhrelid = d.oid AND i.inhparent = 'pgjobs.jobs_history'::regclass
     WHERE i.inhrelid IS NULL OR i.inhdetachpending) AS detached,
    (SELECT count(*) FROM (SELECT FROM pgjobs.jobs_history_default LIMIT 1000) AS d) AS in_default,
    (SELECT (extract(epoch FROM now()) - extract(epoch FROM applied_at)) FROM pgjobs.retention) AS retention_age,
    (SELECT jsonb_build_object('jobs', count(*), 'workers', coalesce(jsonb_agg(DISTINCT s.worker_id), '[]'))
     FROM some_live AS s
     WHERE s.status = 'running' AND NOT EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = s.worker_id)) AS orphans,
    (SELECT jsonb_build_object('signed', count(*) FILTER (WHERE s.signed),
                               'unsigned', count(*) FILTER (WHERE NOT s.signed))
     FROM (SELECT signed FROM some_live WHERE status = 'queued' UNION ALL SELECT signed FROM some_waiting) AS s)
         AS signatures,
-- Dead letters of the last hour; the task that most of them are of, and the error of the last one; how many there are
-- for each hour of the day before; those whose own connections to a database were lost, and such jobs that are retried.
    (SELECT jsonb_build_object('letters', count(*), 'task', mode() WITHIN GROUP (ORDER BY d.task),
                               'last', (extract(epoch FROM now()) - extract(epoch FROM max(d.died_at))),
                               'error', (array_agg(d.error ORDER BY d.died_at DESC))[1],
                               'usual', (SELECT count(*) / 24.0
                                         FROM (SELECT FROM pgjobs.dead_jobs AS b
                                               WHERE b.died_at > now() - interval '25 hours'
                                                 AND b.died_at <= now() - interval '1 hour' LIMIT 24000) AS b),
                               'lost', count(*) FILTER (WHERE d.error ~* %(lost)s),
                               'lost_error', (array_agg(d.error ORDER BY d.died_at DESC)
                                              FILTER (WHERE d.error ~* %(lost)s))[1])
     FROM (SELECT task, error, died_at FROM pgjobs.dead_jobs
           WHERE died_at > now() - interval '1 hour' ORDER BY died_at DESC, id DESC LIMIT 1000) AS d) AS dead_lately,
    (SELECT jsonb_build_object('jobs', count(*), 'error', min(s.error))
     FROM some_live AS s WHERE s.status = 'queued' AND s.error ~* %(lost)s) AS lost_connections,
-- Jobs that wait for others of which none is left: what was to release them is gone.
    (SELECT coalesce(jsonb_agg(f.id ORDER BY f.id), '[]')
     FROM (SELECT w.id FROM some_waiting AS w
           WHERE w.held = 'needs' AND w.enqueued_at < now() - interval '1 minute'
             AND NOT EXISTS (SELECT FROM pgjobs.dependencies AS d WHERE d.job_id = w.id)
             AND NOT EXISTS (SELECT FROM pgjobs.workflow_steps AS s WHERE s.job_id = w.id)
           LIMIT 20) AS f) AS fan_ins,
    (SELECT count(*) >= %(scan)s AND %(scan)s > 0 FROM some_waiting) AS waiting_capped,
    (SELECT coalesce(jsonb_agg(l.name ORDER BY l.name), '[]')
     FROM (SELECT l.name FROM pgjobs.limits AS l
           WHERE l.updated_at < now() - interval '30 days'
             AND NOT EXISTS (SELECT FROM used AS u
                             WHERE u.limit_key = l.name OR pgjobs.pattern_of(u.limit_key) = l.name)
           LIMIT 100) AS l) AS unused_limits,
    (SELECT coalesce(jsonb_agg(t.name ORDER BY t.name), '[]')
     FROM (SELECT t.name FROM pgjobs.tenants AS t
           WHERE t.updated_at < now() - interval '30 days'
             AND NOT EXISTS (SELECT FROM used AS u WHERE u.tenant = t.name)
           LIMIT 100) AS t) AS unused_tenants,
-- Broadcasts that have run for long somewhere, and how many wait there until they end.
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', b.id, 'task', b.task, 'host', r.host, 'worker', r.worker_id, 'pid', r.pid,
                'seconds', extract(epoch FROM now()) - extract(epoch FROM r.started_at),
                'behind', (SELECT count(*) FROM pgjobs.broadcast_runs AS q
                           WHERE q.host = r.host AND q.worker_id = r.worker_id AND q.state = 'queued'))
                               ORDER BY r.started_at), '[]')
     FROM (SELECT * FROM pgjobs.broadcast_runs
           WHERE state = 'running' AND started_at < now() - interval '10 minutes'
           ORDER BY started_at LIMIT 20) AS r
     JOIN pgjobs.broadcasts AS b ON b.id = r.broadcast_id) AS broadcasts,
-- Workflows in which nothing can go on by itself, the oldest first.
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', w.id, 'name', w.name, 'steps', w.steps, 'completed', w.completed,
                'failed', w.failed + w.cancelled)), '[]')
     FROM (SELECT * FROM pgjobs.workflows WHERE status = 'stuck' ORDER BY id LIMIT 20) AS w) AS workflows,
-- Full stages of pipelines in which nothing runs, and their dead letters. What runs is counted by its stage, or by its
-- queue if that has a limit.
    (SELECT coalesce(jsonb_agg(jsonb_build_object('pipeline', j.pipeline, 'stage', j.name, 'waiting', j.waiting,
                                                  'dead', j.dead) ORDER BY j.key), '[]')
     FROM (SELECT s.pipeline, s.name, s.key, full_of.items AS waiting,
                  (SELECT count(*) FROM (SELECT FROM pgjobs.dead_jobs AS d
                                         WHERE pgjobs.stage_of_lane(d.lane) = s.key LIMIT 1000) AS d) AS dead
           FROM pgjobs.pipeline_stages AS s
           JOIN pgjobs.pipelines AS p ON p.name = s.pipeline
           CROSS JOIN LATERAL (SELECT count(*) AS items
                               FROM (SELECT FROM pgjobs.jobs_waiting AS w
                                     WHERE nullif(split_part(w.lane, chr(31), 6), '') = s.key
                                     LIMIT p.at_most) AS w) AS full_of
           WHERE s.place > 1 AND full_of.items >= p.at_most
             AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS l
                             WHERE l.counted_queue IN (chr(31) || s.key, s.queue) AND l.status = 'running')
           ORDER BY s.key
           LIMIT 20) AS j) AS jams,
    (SELECT coalesce(jsonb_agg(to_jsonb(b) || jsonb_build_object(
                'used', EXISTS (SELECT FROM used AS u WHERE u.breaker = b.name),
                'open_forever', b.state <> 'closed' AND b.until = 'infinity',
                'old', greatest(b.created_at, b.changed_at) < now() - interval '30 days')), '[]')
     FROM (SELECT * FROM pgjobs.breakers ORDER BY name LIMIT 1000) AS b) AS breakers,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'name', s.name, 'error', s.error, 'late', (extract(epoch FROM now()) - extract(epoch FROM s.next_at)),
                'paused_for', (extract(epoch FROM now()) - extract(epoch FROM s.paused_at)),
                'retired_for', (extract(epoch FROM now()) - extract(epoch FROM s.retired_at)))), '[]')
     FROM (SELECT * FROM pgjobs.schedules ORDER BY name LIMIT 1000) AS s) AS schedules,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('task', t.task, 'seconds', (extract(epoch FROM now())
        - extract(epoch FROM t.paused_at)))),
                     '[]')
     FROM (SELECT * FROM pgjobs.paused_tasks ORDER BY task LIMIT 1000) AS t) AS paused_tasks,
    (SELECT coalesce((extract(epoch FROM now())
        - extract(epoch FROM paused_at)), 0) FROM pgjobs.switch WHERE paused) AS paused_for,
-- What others may have done to the tables: the sequence of ids behind them; triggers and rules that may keep rows out;
-- foreign keys that may keep rows where they are; tables that a crash empties; row level security;
-- no replica identity where a publication may contain the table; a bell that may not be rung.
    (SELECT CASE WHEN has_sequence_privilege('pgjobs.jobs_id_seq', 'SELECT, USAGE')
                      AND pgjobs.largest_id() > coalesce(pg_sequence_last_value('pgjobs.jobs_id_seq'), 0)
                 THEN pgjobs.largest_id() END) AS id_ahead,
    (SELECT coalesce(jsonb_agg(f.name ORDER BY f.name), '[]')
     FROM (SELECT t.tgname || ' on ' || c.relname AS name
           FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
           WHERE c.relnamespace = 'pgjobs'::regnamespace AND NOT t.tgisinternal AND t.tgparentid = 0
             AND t.tgenabled <> 'D' AND t.tgtype & 2 = 2 AND t.tgname <> 'dead_jobs_keep_older_letter'
           UNION ALL
           SELECT r.rulename || ' on ' || c.relname
           FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
           WHERE c.relnamespace = 'pgjobs'::regnamespace AND r.rulename <> '_RETURN') AS f) AS foreign_triggers,
    (SELECT coalesce(jsonb_agg(f.name ORDER BY f.name), '[]')
     FROM (SELECT DISTINCT t.relname || ' to ' || c.relname AS name
           FROM pg_constraint AS k
           JOIN pg_class AS c ON c.oid = k.confrelid
           JOIN pg_class AS t ON t.oid = k.conrelid
           WHERE k.contype = 'f' AND c.relnamespace = 'pgjobs'::regnamespace) AS f) AS foreign_keys,
    (SELECT coalesce(jsonb_agg(c.relname ORDER BY c.relname), '[]') FROM pg_class AS c
     WHERE c.relnamespace = 'pgjobs'::regnamespace AND c.relkind = 'r' AND c.relpersistence = 'u') AS unlogged,
    (SELECT coalesce(jsonb_agg(c.relname ORDER BY c.relname), '[]') FROM pg_class AS c
     WHERE c.relnamespace = 'pgjobs'::regnamespace AND c.relrowsecurity) AS row_security,
    (SELECT coalesce(jsonb_agg(c.relname ORDER BY c.relname), '[]') FROM pg_class AS c
     WHERE c.relnamespace = 'pgjobs'::regnamespace AND c.relkind = 'r'
       AND EXISTS (SELECT FROM pg_publication AS p WHERE (p.pubupdate OR p.pubdelete) AND (
               p.puballtables
               OR EXISTS (SELECT FROM pg_publication_rel AS r
                          WHERE r.prpubid = p.oid
                            AND r.prrelid IN (SELECT c.oid UNION ALL SELECT pg_partition_ancestors(c.oid)))
               OR EXISTS (SELECT FROM pg_publication_tables AS t
                          WHERE t.pubname = p.pubname AND t.schemaname = 'pgjobs' AND t.tablename = c.relname)))
       AND NOT CASE c.relreplident
           WHEN 'f' THEN true
           WHEN 'd' THEN EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)
           WHEN 'i' THEN EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisreplident)
           ELSE false END) AS without_identity,
    pg_notification_queue_usage() AS notify_usage,
    (SELECT count(*) = 2 FROM pg_trigger AS t
     WHERE t.tgrelid IN ('pgjobs.jobs_live'::regclass, 'pgjobs.jobs_waiting'::regclass)
       AND t.tgname = 'jobs_ring_doorbell' AND t.tgenabled IN ('O', 'A'))
        AND to_regprocedure('pgjobs.doorbell_channel(text)') IS NOT NULL AS bell_is_there
