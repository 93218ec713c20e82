-- All that can keep one job from running, in one statement, so that the parts fit together: one row, an object for
-- each.
--
-- Index look-ups only, and counts that end at %(cap)s (0: nothing is counted, where dead rows make that slow). Each
-- ORDER BY is that of an index, so that a LIMIT ends the scan. Jobs that finished in the last minute are found by the
-- BRIN index of history, and %(seen)s of them are enough for a rate. Times in history are given (`ended_at`, see
-- find_ended.sql; the minute up to `moment`), so that days of other times are not locked.
WITH job AS MATERIALIZED (
    SELECT *
    FROM (SELECT 1 AS place, id, status, queue, priority, task, summary, attempt, max_attempts, prior_attempts, run_at,
                 enqueued_at, started_at, finished_at, worker_id, error, error_kind, timeout, expires_at, lane,
                 limit_key, cost, sequence, breaker, held, needs, cancel_reason,
                 CASE WHEN jsonb_typeof(errors) = 'array' THEN errors -> -1 END AS last_error,
                 NULL::timestamptz AS died_at
          FROM pgjobs.jobs
          WHERE id = %(id)s
            AND (status IN ('queued', 'waiting', 'running')
                 OR status IN ('completed', 'failed', 'cancelled')
                    AND (finished_at = ANY (%(ended_at)s::timestamptz[]) OR finished_at IS NULL))
          UNION ALL
          SELECT 2, id, status, queue, priority, task, summary, attempt, max_attempts, prior_attempts, run_at,
                 enqueued_at, started_at, finished_at, worker_id, error, error_kind, timeout, expires_at, lane,
                 limit_key, cost, sequence, breaker, held, needs, cancel_reason,
                 CASE WHEN jsonb_typeof(errors) = 'array' THEN errors -> -1 END, died_at
          FROM pgjobs.dead_jobs WHERE id = %(id)s) AS found
    ORDER BY place, finished_at DESC NULLS FIRST
    LIMIT 1
), waits AS MATERIALIZED (
    SELECT * FROM job WHERE status IN ('queued', 'waiting')
), awaited AS MATERIALIZED (
    -- A running job that waits for one of its own queue: that one, and its waiter.
    (SELECT job.queue, job.id AS waiter, n.id
     FROM job
     JOIN pgjobs.jobs_live AS l ON l.id = job.id AND l.status = 'running'
     JOIN pgjobs.progress AS p ON p.job_id = l.id AND p.waits_claim = l.claims
     CROSS JOIN LATERAL (SELECT j.id FROM pgjobs.jobs AS j
                         WHERE j.id = ANY (p.waits_for) AND j.status IN ('queued', 'waiting') AND j.queue = job.queue
                           AND j.held IS NULL AND j.run_at <= now()
                         ORDER BY j.id LIMIT 1) AS n)
    UNION ALL
    (SELECT waits.queue, l.id, waits.id
     FROM waits
     JOIN pgjobs.progress AS p ON waits.id = ANY (p.waits_for) AND p.waits_for IS NOT NULL
     JOIN pgjobs.jobs_live AS l
       ON l.id = p.job_id AND l.claims = p.waits_claim AND l.status = 'running' AND l.queue = waits.queue
     WHERE waits.run_at <= now()
     ORDER BY l.id
     LIMIT 10)
), needed AS MATERIALIZED (
    -- Those with a dead letter first: the others will end.
    SELECT d.needs_id, d.on_failure, d.in_doubt IS NOT NULL AS is_unclear, live.status
    FROM (SELECT f.needs_id, f.on_failure, f.in_doubt
          FROM (SELECT * FROM pgjobs.dependencies
                WHERE job_id = %(id)s AND EXISTS (SELECT FROM waits) LIMIT 10000) AS f
          ORDER BY EXISTS (SELECT FROM pgjobs.dead_jobs AS x WHERE x.id = f.needs_id) DESC, f.needs_id
          LIMIT 20) AS d
    LEFT JOIN LATERAL (SELECT j.status FROM pgjobs.jobs AS j
                       WHERE j.id = d.needs_id AND j.status IN ('queued', 'waiting', 'running')
                       LIMIT 1) AS live ON true
), needed_before AS MATERIALIZED (
    SELECT e.id, e.status FROM pgjobs.find_ended(ARRAY (SELECT needs_id FROM needed WHERE status IS NULL)) AS e
)
SELECT
    now() AS now,
    (SELECT to_jsonb(job) - 'place' FROM job) AS job,
    (SELECT d.died_at FROM pgjobs.dead_jobs AS d WHERE d.id = %(id)s) AS died_at,
    (SELECT CASE WHEN has_sequence_privilege('pgjobs.jobs_id_seq', 'SELECT, USAGE')
                 THEN coalesce(pg_sequence_last_value('pgjobs.jobs_id_seq'), 0) END) AS last_id,
    (SELECT to_jsonb(q) || jsonb_build_object('period', extract(epoch FROM q.period),
                                              'aging', extract(epoch FROM q.aging))
     FROM job JOIN pgjobs.queues AS q ON q.name = job.queue) AS queue,
-- All workers, because one that does not serve this queue serves others.
    (SELECT coalesce(jsonb_agg(to_jsonb(w)
                               || jsonb_build_object(
                                   'silent_for', extract(epoch FROM now()) - extract(epoch FROM w.heartbeat_at),
                                   'up_for', extract(epoch FROM now()) - extract(epoch FROM w.started_at))), '[]')
     FROM (SELECT * FROM pgjobs.workers ORDER BY id LIMIT 1000) AS w) AS workers,
-- The running jobs among the first of each priority: claims take them in this order.
    (SELECT jsonb_build_object('jobs', count(*), 'ids', coalesce(jsonb_agg(r.id) FILTER (WHERE r.n <= 10), '[]'),
                               'last_start', (extract(epoch FROM now()) - extract(epoch FROM max(r.started_at))))
     FROM (SELECT j.id, j.started_at, row_number() OVER () AS n
           FROM (SELECT queue FROM waits UNION SELECT queue FROM awaited) AS asked
           CROSS JOIN generate_series(0, 9) AS p
           CROSS JOIN LATERAL (
               SELECT live.id, live.started_at, live.status
               FROM pgjobs.jobs_live AS live
               WHERE live.queue = asked.queue AND live.queue <> '' AND live.priority = p::smallint
                 AND live.run_at <= now()
               ORDER BY live.run_at, live.id
               LIMIT least(%(cap)s, 1000)) AS j
           WHERE j.status = 'running') AS r) AS running,
    (SELECT jsonb_build_object('id', min(a.id), 'waiters', jsonb_agg(a.waiter ORDER BY a.waiter))
     FROM awaited AS a HAVING count(*) > 0) AS awaited,
-- How many are ahead of a plain job: due jobs of higher priorities, and those of its own that were due sooner.
    (SELECT count(*) FILTER (WHERE j.status = 'queued')
     FROM (SELECT live.status
           FROM waits
           CROSS JOIN generate_series(0, waits.priority) AS p
           CROSS JOIN LATERAL (SELECT CASE WHEN p = waits.priority THEN waits.run_at ELSE 'infinity' END AS run_at)
               AS bound
           CROSS JOIN LATERAL (
               SELECT live.status
               FROM pgjobs.jobs_live AS live
               WHERE live.queue = waits.queue AND live.queue <> '' AND live.priority = p::smallint
                 AND live.run_at <= now()
                 AND (live.run_at, live.id) < (bound.run_at, waits.id)
               ORDER BY live.run_at, live.id
               LIMIT %(cap)s) AS live
           LIMIT %(cap)s) AS j) AS ahead,
-- How many of its own lane are ahead of a waiting job, and how many other lanes take turns with it. Of a job that runs
-- in a batch also how many are there, and how long the first of them has waited.
    (SELECT jsonb_build_object('before', before.jobs, 'lanes', others.lanes, 'batch', batch.jobs,
                               'waited', batch.waited)
     FROM waits
     CROSS JOIN LATERAL (
         SELECT count(*) AS jobs
         FROM (SELECT FROM pgjobs.jobs_waiting AS w
               WHERE w.queue = waits.queue AND w.priority = waits.priority AND w.lane = waits.lane
                 AND w.held IS NULL AND w.lane IS NOT NULL AND (w.run_at, w.id) < (waits.run_at, waits.id)
               ORDER BY w.run_at, w.id
               LIMIT %(cap)s) AS w) AS before
     CROSS JOIN LATERAL (
         WITH RECURSIVE lanes (lane, n) AS (
             (SELECT w.lane, 1 FROM pgjobs.jobs_waiting AS w
              WHERE w.queue = waits.queue AND w.priority = waits.priority AND w.held IS NULL AND w.lane IS NOT NULL
              ORDER BY w.lane LIMIT 1)
             UNION ALL
             SELECT (SELECT w.lane FROM pgjobs.jobs_waiting AS w
                     WHERE w.queue = waits.queue AND w.priority = waits.priority AND w.lane > lanes.lane
                       AND w.held IS NULL AND w.lane IS NOT NULL
                     ORDER BY w.lane LIMIT 1), n + 1
             FROM lanes
             WHERE lanes.lane IS NOT NULL AND n <= least(%(cap)s, 1000)
         )
         SELECT count(*) FILTER (WHERE lane <> waits.lane) AS lanes FROM lanes) AS others
     CROSS JOIN LATERAL (
         SELECT count(*) AS jobs, extract(epoch FROM now() - min(b.run_at)) AS waited
         FROM (SELECT w.run_at FROM pgjobs.jobs_waiting AS w
               WHERE split_part(waits.lane, E'\x1f', 5) <> ''
                 AND w.queue = waits.queue AND w.priority = waits.priority AND w.lane = waits.lane
                 AND w.held IS NULL AND w.lane IS NOT NULL AND w.run_at <= now()
               ORDER BY w.run_at, w.id
               LIMIT %(cap)s) AS b) AS batch
     WHERE waits.lane IS NOT NULL) AS turn,
    (SELECT jsonb_build_object('mine', count(*) FILTER (WHERE h.queue = waits.queue), 'all', count(h.queue),
                               'seconds', extract(epoch FROM max(h.finished_at) - min(h.finished_at)),
                               'last',
                               (extract(epoch FROM now())
                                   - extract(epoch FROM max(h.finished_at) FILTER (WHERE h.queue = waits.queue))))
     FROM waits
     LEFT JOIN LATERAL (SELECT f.queue, f.finished_at FROM pgjobs.jobs_history AS f
                         WHERE f.finished_at > %(since)s::timestamptz AND f.finished_at <= %(moment)s::timestamptz
                         LIMIT %(seen)s)
                           AS h ON true
    ) AS finished,
-- Its limit: the one of this key, or the one of its pattern.
    (SELECT to_jsonb(l) || jsonb_build_object(
                'period', extract(epoch FROM l.period), 'holders', holders.ids,
                'tokens', pgjobs.bucket_tokens(b.tokens, b.at, l.rate, l.period, l.burst))
     FROM waits
     JOIN pgjobs.limits AS l ON l.name IN (waits.limit_key, pgjobs.pattern_of(waits.limit_key))
     LEFT JOIN LATERAL (SELECT tokens, at FROM pgjobs.buckets
                        WHERE kind = 'limit' AND name = waits.limit_key LIMIT 1) AS b ON true
     CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(r.id), '[]') AS ids
                         FROM (SELECT id FROM pgjobs.jobs_live
                               WHERE limit_key = waits.limit_key AND limit_key IS NOT NULL AND status = 'running'
                               LIMIT 1000) AS r) AS holders
     ORDER BY l.name = waits.limit_key DESC
     LIMIT 1) AS key_limit,
    (SELECT jsonb_build_object('tokens', pgjobs.bucket_tokens(b.tokens, b.at, q.rate, q.period, q.burst),
                               'holders', holders.ids)
     FROM waits
     LEFT JOIN pgjobs.queues AS q ON q.name = waits.queue
     LEFT JOIN LATERAL (SELECT tokens, at FROM pgjobs.buckets
                        WHERE kind = 'queue' AND name = waits.queue LIMIT 1) AS b ON true
     CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(r.id), '[]') AS ids
                         FROM (SELECT id FROM pgjobs.jobs_live
                               WHERE counted_queue = waits.queue AND counted_queue IS NOT NULL AND status = 'running'
                               LIMIT 1000) AS r
                         ) AS holders) AS queue_limit,
-- Its sequence: the job that runs, the first that waits, and the dead letter that blocks it.
    (SELECT jsonb_build_object(
         'before', (SELECT count(*)
                    FROM (SELECT FROM pgjobs.jobs_waiting AS w
                          WHERE w.sequence = waits.sequence AND w.sequence IS NOT NULL AND w.id < waits.id
                          ORDER BY w.id LIMIT %(cap)s) AS w),
         'head', (SELECT jsonb_build_object('id', w.id, 'held', w.held, 'run_at', w.run_at, 'error', w.error)
                  FROM pgjobs.jobs_waiting AS w
                  WHERE w.sequence = waits.sequence AND w.sequence IS NOT NULL ORDER BY w.id LIMIT 1),
         'running', (SELECT jsonb_build_object('id', r.id, 'worker_id', r.worker_id, 'started_at', r.started_at)
                     FROM pgjobs.jobs_live AS r
                     WHERE r.sequence = waits.sequence AND r.sequence IS NOT NULL AND r.status = 'running' LIMIT 1),
         'dead', (SELECT min(d.id) FROM pgjobs.dead_jobs AS d
                  WHERE d.sequence = waits.sequence AND d.sequence IS NOT NULL
                    AND coalesce(d.on_failure, 'block') = 'block'),
         'ending', (SELECT min(d.id) FROM pgjobs.dead_jobs AS d
                    WHERE d.sequence = waits.sequence AND d.sequence IS NOT NULL AND d.ends_sequence))
     FROM waits
     WHERE waits.sequence IS NOT NULL) AS sequence,
    (SELECT coalesce(jsonb_agg(n), '[]')
     FROM (SELECT d.needs_id AS id, d.on_failure, d.is_unclear, letter.there AS letter,
                  (SELECT CASE WHEN s.n IS NULL THEN s.name ELSE format('%%s[%%s]', s.name, s.n) END
                   FROM pgjobs.workflow_steps AS s WHERE s.job_id = d.needs_id) AS step,
                  coalesce(d.status, ended.status, CASE WHEN letter.there THEN 'failed' END) AS status
           FROM needed AS d
           LEFT JOIN needed_before AS ended ON ended.id = d.needs_id
           CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pgjobs.dead_jobs AS x WHERE x.id = d.needs_id) AS there)
                              AS letter) AS n) AS needs,
    (SELECT jsonb_build_object(
                'workflow', w.id, 'workflow_name', w.name, 'paused', w.paused_at IS NOT NULL,
                'name', CASE WHEN s.n IS NULL THEN s.name ELSE format('%%s[%%s]', s.name, s.n) END,
                'needed', (SELECT count(*)
                           FROM (SELECT FROM pgjobs.workflow_steps AS m
                                 WHERE m.workflow_id = s.workflow_id AND m.node = ANY (s.needs) LIMIT 100000) AS m))
     FROM waits
     JOIN pgjobs.workflow_steps AS s ON s.job_id = waits.id
     JOIN pgjobs.workflows AS w ON w.id = s.workflow_id) AS step,
    (SELECT jsonb_build_object('signal', t.signal, 'until', t.until)
     FROM waits
     JOIN pgjobs.waits AS t ON t.job_id = waits.id AND (t.until IS NULL OR t.until > now())
     ORDER BY t.began_at DESC
     LIMIT 1) AS wait,
-- Of an item of a pipeline: its stage, the next one, and what waits there.
    (SELECT jsonb_build_object(
                'pipeline', p.name, 'stage', s.name, 'paused', p.paused_at IS NOT NULL AND s.place = 1,
                'at_most', p.at_most, 'next', n.name, 'room', r.room,
                'waiting', (SELECT count(*)
                            FROM (SELECT FROM pgjobs.jobs_waiting AS w
                                  WHERE nullif(split_part(w.lane, chr(31), 6), '') = s.next
                                  LIMIT p.at_most + %(cap)s) AS w))
     FROM waits
     JOIN pgjobs.pipeline_stages AS s ON s.key = pgjobs.stage_of_lane(waits.lane)
     JOIN pgjobs.pipelines AS p ON p.name = s.pipeline
     LEFT JOIN pgjobs.pipeline_stages AS n ON n.key = s.next
     CROSS JOIN LATERAL pgjobs.room_of_stage(s.key) AS r) AS stage,
    (SELECT to_jsonb(k) || jsonb_build_object('probing', probing.ids)
     FROM waits
     JOIN pgjobs.breakers AS k ON k.name = waits.breaker
     CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(r.id), '[]') AS ids
                         FROM (SELECT id FROM pgjobs.jobs_live
                               WHERE breaker = waits.breaker AND breaker IS NOT NULL AND status = 'running'
                               LIMIT least(k.probes, 100)) AS r) AS probing) AS breaker,
    (SELECT to_jsonb(t) FROM waits JOIN pgjobs.paused_tasks AS t ON waits.task LIKE ANY (t.patterns)
     ORDER BY t.paused_at LIMIT 1) AS task_pause,
    (SELECT to_jsonb(s) FROM waits CROSS JOIN pgjobs.switch AS s WHERE s.paused) AS everything_pause,
-- Open transactions that have inserted jobs, which are not visible yet.
    (SELECT coalesce(jsonb_agg(s), '[]')
     FROM (SELECT DISTINCT CASE WHEN l.pid IS NULL THEN 'prepared' ELSE 'session' END AS kind, l.pid,
                  coalesce(a.application_name, x.gid, '') AS name, coalesce(a.usename, x.owner) AS user_name, a.state,
                  (extract(epoch FROM now()) - extract(epoch FROM coalesce(a.xact_start, x.prepared))) AS seconds
           FROM pg_locks AS l
           LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
           LEFT JOIN (pg_locks AS t JOIN pg_prepared_xacts AS x ON x.transaction = t.transactionid)
                ON l.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid'
                   AND t.virtualtransaction = l.virtualtransaction
           WHERE NOT EXISTS (SELECT FROM job)
             AND l.relation IN ('pgjobs.jobs_live'::regclass, 'pgjobs.jobs_waiting'::regclass)
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND l.mode = 'RowExclusiveLock' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
             AND NOT starts_with(coalesce(a.application_name, ''), %(workers)s)
           ORDER BY seconds DESC NULLS LAST
           LIMIT 5) AS s) AS writers,
-- Transactions that have the lock of one of its keys, without which no claim starts it. Such a row is locked, and never
-- changed, so its xmax is the transaction that has locked it, or the last one that had.
    (SELECT coalesce(jsonb_agg(s), '[]')
     FROM (SELECT k.kind AS key_kind, k.name AS key,
                  CASE WHEN l.pid IS NULL THEN 'prepared' ELSE 'session' END AS kind, l.pid,
                  coalesce(a.application_name, x.gid, '') AS name, coalesce(a.usename, x.owner) AS user_name, a.state,
                  (extract(epoch FROM now()) - extract(epoch FROM coalesce(a.xact_start, x.prepared))) AS seconds
           FROM waits
           JOIN pgjobs.key_locks AS k
             ON (k.kind, k.name) IN (('limit', waits.limit_key), ('sequence', waits.sequence),
                                     ('breaker', waits.breaker), ('queue', waits.queue),
                                     ('batch', pgjobs.batch_lock(waits.queue, waits.priority, waits.lane)))
           JOIN pg_locks AS l ON l.locktype = 'transactionid' AND l.transactionid = k.xmax AND l.granted
           LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
           LEFT JOIN pg_prepared_xacts AS x ON l.pid IS NULL AND x.transaction = k.xmax
           WHERE l.pid IS DISTINCT FROM pg_backend_pid()
           ORDER BY seconds DESC NULLS LAST
           LIMIT 5) AS s) AS key_locks,
-- What keeps VACUUM from removing dead rows, for how long and over how many transactions.
    (SELECT coalesce(jsonb_agg(s), '[]')
     FROM (SELECT * FROM pgjobs.held_snapshots() ORDER BY transactions DESC NULLS LAST LIMIT 5) AS s) AS snapshots,
    (SELECT coalesce(sum(pg_stat_get_dead_tuples(c)), 0)
     FROM unnest(ARRAY['pgjobs.jobs_live'::regclass, 'pgjobs.jobs_waiting'::regclass]) AS c) AS dead_rows
