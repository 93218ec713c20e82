-- The functions below are part of statements: the planner puts their bodies into the query (EXPLAIN shows no call).
-- That rules out SET search_path. A body after BEGIN ATOMIC or RETURN is parsed once, here, so it needs none.
--
-- A job's list of errors, and the error of this attempt. It keeps the first and the newest 99, so that a job that is
-- retried for months stays small. A list that was written by hand may be anything: what is not a list is replaced.
CREATE FUNCTION pgjobs.errors_with(
    errors jsonb, attempt integer, started_at timestamptz, worker bigint, host text, error text, traceback text
) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN jsonb_typeof(errors) <> 'array' THEN '[]'
            WHEN jsonb_array_length(errors) >= 100 THEN errors - 1
            ELSE coalesce(errors, '[]') END
       || jsonb_build_object('attempt', attempt, 'at', now(), 'started_at', started_at, 'error', error,
                             'traceback', traceback, 'worker', worker, 'host', host);

-- The name of the limit that is shared by keys of the same form: `tenant:*` for `tenant:7`. As pattern_of in
-- flow/limits.py.
CREATE FUNCTION pgjobs.pattern_of(key text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(key, '[^:]*$', '*');

-- The token bucket of a rate, as in flow/rates.py: how many tokens it holds when it is full, and how many it holds now,
-- where `since` is when it held `tokens` (NULL: nothing is stored, so it is full). Where the clock was set back by more
-- than a second the bucket is full, or else nothing would start until the clock is there again. NULL: there is no rate.
CREATE FUNCTION pgjobs.bucket_capacity(rate double precision, burst double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN rate IS NOT NULL THEN greatest(coalesce(burst, rate), 1) END;

CREATE FUNCTION pgjobs.bucket_tokens(
    tokens double precision, since timestamptz, rate double precision, period interval, burst double precision
) RETURNS double precision LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN since IS NULL OR since > now() + interval '1 s' THEN pgjobs.bucket_capacity(rate, burst)
            WHEN rate IS NOT NULL
            THEN least(pgjobs.bucket_capacity(rate, burst),
                       tokens + rate * greatest(extract(epoch FROM now() - since)::double precision, 0)
                                / extract(epoch FROM period)::double precision) END;

-- Every queue that has a row of settings, or a job that is queued or waits for its turn or its time. Those with jobs
-- are found by a loose index scan: three look-ups for each queue, however many jobs it holds.
CREATE VIEW pgjobs.queue_names (name) AS
WITH RECURSIVE busy (queue) AS (
    SELECT ''::text
    UNION ALL
    SELECT least((SELECT live.queue FROM pgjobs.jobs_live AS live
                  WHERE live.status = 'queued' AND live.queue > busy.queue AND live.queue <> ''
                  ORDER BY live.queue LIMIT 1)::text,
                 (SELECT w.queue FROM pgjobs.jobs_waiting AS w
                  WHERE w.held IS NULL AND w.lane IS NOT NULL AND w.queue > busy.queue ORDER BY w.queue LIMIT 1)::text,
                 (SELECT l.queue FROM pgjobs.jobs_waiting AS l
                  WHERE l.held = 'later' AND l.queue > busy.queue ORDER BY l.queue LIMIT 1)::text)
    FROM busy
    WHERE busy.queue IS NOT NULL
)
SELECT queue FROM busy WHERE queue <> ''
UNION
SELECT name FROM pgjobs.queues;

-- What keeps VACUUM from removing dead rows: sessions, prepared transactions and replication slots with their age in
-- seconds and in transactions. A function and not a view, so that it does not tie the schema to the system's views.
CREATE FUNCTION pgjobs.held_snapshots() RETURNS TABLE (
    kind text, pid integer, name text, user_name text, state text, seconds double precision, transactions integer
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'session', a.pid, a.application_name, a.usename::text, a.state,
           extract(epoch FROM now() - a.xact_start)::double precision,
           greatest(age(a.backend_xmin), age(a.backend_xid))
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
      AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
    UNION ALL
    SELECT 'prepared', NULL, x.gid, x.owner::text, NULL,
           extract(epoch FROM now() - x.prepared)::double precision, age(x.transaction)
    FROM pg_prepared_xacts AS x WHERE x.database = current_database()
    UNION ALL
    SELECT 'slot', s.active_pid, s.slot_name::text, NULL, CASE WHEN s.active THEN 'active' ELSE 'inactive' END, NULL,
           age(s.xmin)
    FROM pg_replication_slots AS s WHERE s.xmin IS NOT NULL
$$;
