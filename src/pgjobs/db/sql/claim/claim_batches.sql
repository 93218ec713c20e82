-- Claim jobs of these lanes of one queue that run in batches: waiting → running. Runs after pick_lanes.sql, which has
-- found that there are enough of them, or that they have waited long enough. What is claimed of a lane is whole batches
-- of its size, %(batches)s at most; the last one may be smaller if its first job has waited long enough, or if it has
-- as many bytes as it may have. %(room)s: what the limit of the queue leaves. Batches of several claims do not share
-- jobs: this one has locked the keys of the lanes.
WITH lanes AS MATERIALIZED (
    SELECT l.priority, l.lane, l.due, least(l.size, %(room)s::int) AS size, l.wait, l.batches,
           coalesce(l.most, 33554432) AS bytes
    FROM unnest(%(priorities)s::smallint[], %(lanes)s::text[], %(dues)s::timestamptz[], %(sizes)s::int[],
                %(waits)s::float8[], %(mosts)s::bigint[], %(batches)s::int[])
         AS l (priority, lane, due, size, wait, most, batches)
    WHERE NOT coalesce((SELECT q.paused FROM pgjobs.queues AS q WHERE q.name = %(queue)s), false)
      AND NOT coalesce((SELECT s.paused FROM pgjobs.switch AS s WHERE s.one), false)
      AND EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = %(worker_id)s)
), due AS MATERIALIZED (
    -- The inner select is in the order of an index, so that nothing is sorted. The tail is less than a whole batch.
    SELECT l.size, l.wait, l.bytes, j.*
    FROM lanes AS l
    CROSS JOIN LATERAL (
        SELECT r.ctid, r.place, r.jobs, r.up_to, r.all_bytes,
               min(r.run_at) FILTER (WHERE r.place >= r.jobs / l.size * l.size) OVER () AS tail_since
        FROM (
            SELECT f.ctid, f.run_at, row_number() OVER () - 1 AS place, count(*) OVER () AS jobs,
                   sum(f.payload_bytes) OVER (ROWS UNBOUNDED PRECEDING) AS up_to,
                   sum(f.payload_bytes) OVER () AS all_bytes
            FROM (
                SELECT w.ctid, w.run_at, octet_length(w.payload) AS payload_bytes
                FROM pgjobs.jobs_waiting AS w
                WHERE w.queue = %(queue)s AND w.priority = l.priority AND w.lane = l.lane AND w.held IS NULL
                  AND w.run_at <= least(now(), l.due)
                ORDER BY w.run_at, w.id
                LIMIT l.size * l.batches
                FOR UPDATE SKIP LOCKED
            ) AS f
        ) AS r
    ) AS j
), chosen AS MATERIALIZED (
    SELECT d.ctid
    FROM due AS d
    WHERE (d.place = 0 OR d.up_to <= d.bytes)
      AND (d.place < d.jobs / d.size * d.size OR d.all_bytes >= d.bytes
           OR d.tail_since + d.wait * interval '1 second' <= now() OR %(in_haste)s::boolean)
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
