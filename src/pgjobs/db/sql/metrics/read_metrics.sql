-- What metrics say beside the queues' depths, in one statement: one row, an object or a list for each part. Index
-- look-ups and small tables only: a scrape takes as long with a million jobs as with a thousand.
SELECT
-- Ids that were given out. The sequence never goes back, whatever is deleted.
    (SELECT CASE WHEN has_sequence_privilege('pgjobs.jobs_id_seq', 'SELECT, USAGE')
                 THEN coalesce(pg_sequence_last_value('pgjobs.jobs_id_seq'), 0) END) AS enqueued,
    (SELECT coalesce(bool_or(s.paused), false) FROM pgjobs.switch AS s) AS all_paused,
-- The workers that are heard from, by what they serve. A row that was written by hand may have anything in `queues`.
    (SELECT coalesce(jsonb_object_agg(q.name, q.workers), '{}')
     FROM (SELECT served.name, count(*) AS workers
           FROM pgjobs.workers AS w
           CROSS JOIN LATERAL jsonb_object_keys(CASE WHEN jsonb_typeof(w.queues) = 'object' THEN w.queues
                                                     ELSE '{}' END) AS served (name)
           WHERE extract(epoch FROM now()) - extract(epoch FROM w.heartbeat_at)
                 <= coalesce(w.rescue_after, %(silent_after)s::float8)
           GROUP BY served.name) AS q) AS workers,
-- Running jobs have their limits in an index of their own.
    (SELECT coalesce(jsonb_object_agg(l.name, l.running), '{}')
     FROM (SELECT m.name, sum(coalesce(held.running, 0)) AS running
           FROM (SELECT l.name FROM pgjobs.limits AS l ORDER BY l.name LIMIT 1000) AS m
           LEFT JOIN (SELECT own.name, r.running
                      FROM (SELECT v.limit_key, count(*) AS running
                            FROM pgjobs.jobs_live AS v
                            WHERE v.limit_key IS NOT NULL AND v.status = 'running'
                            GROUP BY v.limit_key) AS r
                      CROSS JOIN LATERAL (SELECT l.name FROM pgjobs.limits AS l
                                          WHERE l.name IN (r.limit_key, pgjobs.pattern_of(r.limit_key))
                                          ORDER BY l.name = r.limit_key DESC
                                          LIMIT 1) AS own) AS held ON held.name = m.name
           GROUP BY m.name) AS l) AS limits,
    (SELECT coalesce(jsonb_object_agg(b.name, b.state), '{}')
     FROM (SELECT name, state FROM pgjobs.breakers ORDER BY name LIMIT 1000) AS b) AS breakers,
    (SELECT coalesce(jsonb_object_agg(s.name, s.late), '{}')
     FROM (SELECT name, greatest(extract(epoch FROM now()) - extract(epoch FROM next_at), 0) AS late
           FROM pgjobs.schedules
           WHERE paused_at IS NULL AND retired_at IS NULL AND next_at > '-infinity' AND next_at < 'infinity'
           ORDER BY name LIMIT 1000) AS s) AS schedules,
    (SELECT jsonb_object_agg(states.name, w.n)
     FROM unnest('{running,stuck,completed,failed,cancelled}'::text[]) AS states (name)
     CROSS JOIN LATERAL (SELECT count(*) AS n
                         FROM (SELECT FROM pgjobs.workflows AS w WHERE w.status = states.name
                               LIMIT %(cap)s) AS w) AS w) AS workflows,
    (SELECT coalesce(max(s.seconds), 0) FROM pgjobs.held_snapshots() AS s) AS held_seconds,
    (SELECT coalesce(jsonb_object_agg(t.relname, t.n_dead_tup), '{}')
     FROM pg_stat_user_tables AS t
     WHERE t.relid IN ('pgjobs.jobs_live'::regclass, 'pgjobs.jobs_waiting'::regclass, 'pgjobs.queues'::regclass,
                       'pgjobs.workers'::regclass, 'pgjobs.key_locks'::regclass)) AS dead_rows
