-- Claim up to %(demand)s jobs of these lanes of one queue: waiting → running. Runs after pick_lanes.sql, in the same
-- transaction, which has locked all that these lanes share: so it sees what others have claimed, and slots are counted
-- from running rows.
--
-- A lane gives %(quantum)s jobs in its turn, times the weight of its tenant; a fraction of a job is given by chance.
-- Lanes of no tenant take turns as well, but those of a claim of many jobs, which start at about the same time, are
-- shared by some 64 lanes: each lane that is looked at costs more than a job.
-- What runs of a stage of a pipeline is counted as what runs of a queue with a limit: see room_of_stage.
WITH lanes AS MATERIALIZED (
    SELECT *
    FROM unnest(%(priorities)s::smallint[], %(lanes)s::text[], %(dues)s::timestamptz[], %(limit_keys)s::text[],
                %(sequences)s::text[], %(breakers)s::text[], %(costs)s::real[], %(limited)s::boolean[],
                %(probing)s::boolean[])
         AS l (priority, lane, due, limit_key, sequence, breaker, cost, is_limited, is_probing)
), turns AS MATERIALIZED (
    SELECT j.ctid, j.cost, l.limit_key, l.breaker, r.slots, r.tokens, b.probes, row_number() OVER () AS n
    FROM lanes AS l
    LEFT JOIN LATERAL (SELECT true AS found, m.* FROM pgjobs.room_of_limit(l.limit_key) AS m) AS r
        ON l.limit_key IS NOT NULL
    LEFT JOIN LATERAL (SELECT true AS found, m.* FROM pgjobs.room_of_breaker(l.breaker) AS m) AS b
        ON l.breaker IS NOT NULL
    CROSS JOIN LATERAL (SELECT split_part(l.lane, E'\x1f', 1) AS tenant) AS t
    LEFT JOIN pgjobs.tenants AS f ON f.name = t.tenant
    CROSS JOIN LATERAL (
        SELECT least(CASE WHEN t.tenant = '' THEN greatest(%(quantum)s, %(demand)s / 64)
                          ELSE floor(%(quantum)s * coalesce(f.weight, 1)
                                     + CASE WHEN f.weight IS NULL THEN 0 ELSE random() END) END,
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
              FROM pgjobs.head_of_sequence(l.sequence) AS first (id)
              JOIN pgjobs.jobs_waiting AS w ON w.id = first.id
              WHERE w.queue = %(queue)s AND w.lane = l.lane AND w.priority = l.priority
                AND w.held IS NULL AND w.run_at <= least(now(), l.due)
              FOR UPDATE OF w SKIP LOCKED) AS head
    ) AS j
    WHERE x.room > 0
      -- One that came only now is not locked.
      AND (l.is_limited OR r.found IS NULL) AND (l.is_probing OR b.found IS NULL)
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
    ON CONFLICT (kind, name) DO UPDATE
    SET tokens = excluded.tokens,
        -- A transaction that began before this one may have locked the key after it.
        at = CASE WHEN t.at BETWEEN excluded.at AND excluded.at + interval '1 s' THEN t.at ELSE excluded.at END
), gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w WHERE w.ctid = ANY (ARRAY (SELECT ctid FROM chosen)) RETURNING w.*
), ran AS (
    INSERT INTO pgjobs.jobs_live (
        {kept_columns}, {flow_columns}, run_at, max_attempts, prior_attempts, isolate, error, error_kind, errors,
        expires_at, dependents, started_at, worker_id, claims, attempt, status, counted_queue)
    SELECT {kept_columns}, {flow_columns}, run_at, max_attempts, prior_attempts, isolate, error, error_kind, errors,
           expires_at, dependents, now(), %(worker_id)s, mod(claims, 2000000000) + 1, least(attempt + 1, 1000000000),
           'running', coalesce(%(counted_queue)s::text, E'\x1f' || nullif(split_part(lane, E'\x1f', 6), ''))
    FROM gone
    RETURNING id, claims AS claim_number, attempt, max_attempts, prior_attempts, priority, run_at, task, executor,
              isolate, timeout, signature, payload, meta, lane, breaker, expires_at <= now() AS is_late
)
SELECT * FROM ran
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM ran))
