-- Claim up to %(demand)s jobs of one queue whose turn it is: waiting → running. Runs under the lock of lock_lanes.sql,
-- in the same transaction and after it, so that it sees what others have claimed: slots are counted from running rows.
--
-- Lanes take turns, in the order of the given ranges: lanes of one priority, from one lane up to another (NULL: to
-- the last one). All jobs of
-- a lane wait for the same things, so a lane without room costs one look-up, however many jobs it holds, and at most
-- %(most)s lanes are read. A lane gives %(quantum)s jobs in its turn, times the weight of its tenant; a fraction of a
-- job is given by chance. Of a sequence only the first job can run: the one with the smallest id, wherever and until
-- whenever it waits.
--
-- Where the scan ended early, the last row says so: it has no id, but the number of the range in place of the
-- priority, and the last lane that was read.
WITH lanes AS MATERIALIZED (
    SELECT s.piece, s.priority, s.due, l.lane, l.limit_key, l.sequence, l.breaker, coalesce(l.cost, 1) AS cost
    FROM unnest(%(priorities)s::smallint[], %(sinces)s::text[], %(untils)s::text[], %(dues)s::timestamptz[])
         WITH ORDINALITY AS s (priority, since, until, due, piece)
    CROSS JOIN LATERAL (
        WITH RECURSIVE lane AS (
            (SELECT w.lane, w.limit_key, w.sequence, w.breaker, w.cost
             FROM pgjobs.jobs_waiting AS w
             WHERE w.queue = %(queue)s AND w.priority = s.priority AND w.held IS NULL
               AND w.lane >= s.since AND w.lane <= coalesce(s.until, pgjobs.last_lane())
             ORDER BY w.lane, w.run_at, w.id
             LIMIT 1)
            UNION ALL
            SELECT next.lane, next.limit_key, next.sequence, next.breaker, next.cost
            FROM lane
            CROSS JOIN LATERAL (
                SELECT w.lane, w.limit_key, w.sequence, w.breaker, w.cost
                FROM pgjobs.jobs_waiting AS w
                WHERE w.queue = %(queue)s AND w.priority = s.priority AND w.held IS NULL
                  AND w.lane > lane.lane AND w.lane <= coalesce(s.until, pgjobs.last_lane())
                ORDER BY w.lane, w.run_at, w.id
                LIMIT 1
            ) AS next
        )
        SELECT * FROM lane
    ) AS l
    LIMIT %(most)s
), turns AS MATERIALIZED (
    SELECT j.ctid, j.cost, l.limit_key, l.breaker, r.slots, r.tokens, b.probes, row_number() OVER () AS n
    FROM lanes AS l
    -- What the limit leaves: slots and tokens. NULL: no limit.
    LEFT JOIN LATERAL (
        SELECT m.concurrency - (
                   SELECT count(*)
                   FROM (SELECT FROM pgjobs.jobs_live AS v
                         WHERE v.limit_key = l.limit_key AND v.status = 'running'
                         LIMIT m.concurrency) AS running
               ) AS slots,
               pgjobs.bucket_tokens(t.tokens, t.at, m.rate, m.period, m.burst) AS tokens
        FROM pgjobs.limits AS m
        LEFT JOIN pgjobs.buckets AS t ON t.kind = 'limit' AND t.name = l.limit_key
        WHERE m.name IN (l.limit_key, pgjobs.pattern_of(l.limit_key))
        ORDER BY m.name = l.limit_key DESC
        LIMIT 1
    ) AS r ON l.limit_key IS NOT NULL
    -- What a breaker lets through: nothing while it is open, then a few probes at a time until it is closed. Jobs that
    -- started before it opened are not probes, and a probe that takes longer than a cooldown does not hold up others.
    LEFT JOIN LATERAL (
        SELECT CASE WHEN k.until > now() THEN 0
                    ELSE k.probes - (SELECT count(*)
                                     FROM (SELECT FROM pgjobs.jobs_live AS v
                                           WHERE v.breaker = l.breaker AND v.status = 'running'
                                             AND v.started_at >= greatest(k.until, now() - k.cooldown)
                                           LIMIT k.probes) AS probing)
               END AS probes
        FROM pgjobs.breakers AS k
        WHERE k.name = l.breaker AND k.state <> 'closed'
    ) AS b ON l.breaker IS NOT NULL
    LEFT JOIN pgjobs.tenants AS f ON f.name = split_part(l.lane, E'\x1f', 1)
    CROSS JOIN LATERAL (
        SELECT least(floor(%(quantum)s * coalesce(f.weight, 1) + CASE WHEN f.weight IS NULL THEN 0 ELSE random() END),
                     r.slots, b.probes,
                     CASE WHEN r.tokens + 1e-9 >= least(l.cost, 1) THEN greatest(floor(r.tokens / l.cost), 1)
                          WHEN r.tokens IS NOT NULL THEN 0 END)::bigint AS room
    ) AS x
    CROSS JOIN LATERAL (
        SELECT first.ctid, first.cost
        FROM (SELECT w.ctid, coalesce(w.cost, 1) AS cost
              FROM pgjobs.jobs_waiting AS w
              WHERE l.sequence IS NULL
                AND w.queue = %(queue)s AND w.priority = l.priority AND w.lane = l.lane AND w.held IS NULL
                AND w.run_at <= least(now(), l.due)
              ORDER BY w.run_at, w.id
              LIMIT x.room
              FOR UPDATE SKIP LOCKED) AS first
        UNION ALL
        SELECT head.ctid, head.cost
        FROM (SELECT w.ctid, coalesce(w.cost, 1) AS cost
              FROM pgjobs.jobs_waiting AS w
              WHERE w.id = (SELECT f.id FROM pgjobs.jobs_waiting AS f
                            WHERE f.sequence = l.sequence ORDER BY f.id LIMIT 1)
                AND w.queue = %(queue)s AND w.lane = l.lane AND w.priority = l.priority
                AND w.held IS NULL AND w.run_at <= least(now(), l.due)
                AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS v WHERE v.sequence = l.sequence)
                AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS d
                                WHERE d.sequence = l.sequence AND coalesce(d.on_failure, 'block') = 'block')
              FOR UPDATE SKIP LOCKED) AS head
    ) AS j
    WHERE x.room > 0
      AND NOT coalesce((SELECT q.paused FROM pgjobs.queues AS q WHERE q.name = %(queue)s), false)
      AND NOT coalesce((SELECT s.paused FROM pgjobs.switch AS s WHERE s.one), false)
      AND EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = %(worker_id)s)
    LIMIT %(demand)s
), ranked AS (
    -- Several lanes may share a limit or a breaker, and then share what is left of it. With aging a job may come up
    -- twice.
    SELECT once.*,
           row_number() OVER same_limit AS place, sum(cost) OVER same_limit - cost AS spent,
           row_number() OVER (PARTITION BY breaker ORDER BY n) AS probe
    FROM (SELECT DISTINCT ON (ctid) * FROM turns ORDER BY ctid, n) AS once
    WINDOW same_limit AS (PARTITION BY limit_key ORDER BY n)
), chosen AS MATERIALIZED (
    SELECT ctid, limit_key, cost, tokens
    FROM ranked
    WHERE (slots IS NULL OR place <= slots)
      -- One token is enough to start. A job that costs more leaves a debt, and the next jobs wait until it is paid:
      -- otherwise cheap jobs would take every token that an expensive one waits for.
      AND (tokens IS NULL OR tokens - spent + 1e-9 >= least(cost, 1))
      AND (probes IS NULL OR probe <= probes)
), spending AS (
    INSERT INTO pgjobs.buckets AS t (kind, name, tokens, at)
    SELECT 'limit', limit_key, min(tokens) - sum(cost), now() FROM chosen WHERE tokens IS NOT NULL GROUP BY limit_key
    ON CONFLICT (kind, name) DO UPDATE SET tokens = excluded.tokens, at = excluded.at
), gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w WHERE w.ctid = ANY (ARRAY (SELECT ctid FROM chosen)) RETURNING w.*
), ran AS (
    INSERT INTO pgjobs.jobs_live (
        {kept_columns}, {flow_columns}, run_at, max_attempts, prior_attempts, isolate, error, error_kind, errors,
        expires_at, dependents, started_at, worker_id, claims, attempt, status, counted_queue)
    SELECT {kept_columns}, {flow_columns}, run_at, max_attempts, prior_attempts, isolate, error, error_kind, errors,
           expires_at, dependents, now(), %(worker_id)s, mod(claims, 2000000000) + 1, least(attempt + 1, 1000000000),
           'running', %(counted_queue)s::text
    FROM gone
    RETURNING id, claims AS claim_number, attempt, max_attempts, prior_attempts, priority, run_at, task, executor,
              isolate, timeout, signature, payload, meta, lane, breaker, expires_at <= now() AS is_late
)
SELECT * FROM ran
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM ran))
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, last.piece::smallint, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       last.lane, NULL, NULL
FROM (SELECT lanes.piece, lanes.lane FROM lanes OFFSET %(most)s - 1) AS last
WHERE (SELECT count(*) FROM turns) < %(demand)s
