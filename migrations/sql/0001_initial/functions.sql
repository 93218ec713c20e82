-- Functions run with the rights of the caller, and look names up on the caller's search_path: a user who may create
-- functions in one of its schemas could have others run them (CVE-2018-1058). So what runs for each row of an INSERT
-- names everything in full, which costs nothing. SET search_path costs 0.14 microseconds a call: 3 to 7 % of an INSERT
-- of 1,000 rows while the doorbell is armed. Functions that are called rarely use SET search_path instead. Those of
-- history need it: with roles they run with the rights of the owner.

-- Create one day of history (UTC). LIKE and ATTACH instead of PARTITION OF, because that takes no lock that a worker
-- would wait for, but for a moment on the default partition. Rows of that day which the default partition has taken
-- move into the new one: most of them while others go on, the rest under the lock that ATTACH takes anyway. If the day
-- is today, statements that finish jobs wait for the last step: an INSERT that had chosen the default partition already
-- would fail. Where there are so many rows that it would take long, all of that day stay where they are, until they are
-- too old. Whether the day is there is read from pg_class, because to_regclass may remember what was true before the
-- wait for the lock.
CREATE FUNCTION pgjobs.create_history_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SET lock_timeout = '200ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text := 'jobs_history_' || to_char(day, 'YYYYMMDD');
    starts timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    move text := format('WITH moved AS (DELETE FROM pgjobs.jobs_history_default
                                        WHERE finished_at >= %L AND finished_at < %L RETURNING *)
                         INSERT INTO %I.%I SELECT * FROM moved', starts, ends, 'pgjobs', part);
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('history'));
    IF EXISTS (SELECT FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace AND relname = part) THEN
        RETURN false;
    END IF;
    IF (SELECT count(*) FROM (SELECT FROM pgjobs.jobs_history_default
                              WHERE finished_at >= starts AND finished_at < ends LIMIT 20001) AS found) > 20000 THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I.%I (LIKE pgjobs.jobs_history INCLUDING CONSTRAINTS)', 'pgjobs', part);
    EXECUTE move;
    IF ends > now() + interval '1 day' THEN
        LOCK TABLE ONLY pgjobs.jobs_history IN SHARE UPDATE EXCLUSIVE MODE;
    ELSE
        LOCK TABLE ONLY pgjobs.jobs_history IN SHARE ROW EXCLUSIVE MODE;
    END IF;
    LOCK TABLE pgjobs.jobs_history_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE move;
    EXECUTE format('ALTER TABLE pgjobs.jobs_history ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
                   'pgjobs', part, starts, ends);
    RETURN true;
END $$;

-- Drop a day, or give up soon: each lock is waited for a tenth of a second at most. The last one, on all of history, is
-- the one that acknowledgements wait for. So those of that day come first, which its readers hold for long.
CREATE FUNCTION pgjobs.drop_history_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text := 'jobs_history_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('history'));
    IF NOT EXISTS (SELECT FROM pg_class
                   JOIN pg_inherits ON inhrelid = oid AND inhparent = 'pgjobs.jobs_history'::regclass
                   WHERE relnamespace = 'pgjobs'::regnamespace AND relname = part) THEN
        RETURN false;
    END IF;
    BEGIN
        EXECUTE format('LOCK TABLE %I.%I, pgjobs.jobs_history_default IN ACCESS EXCLUSIVE MODE',
                       'pgjobs', part);
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;
    END;
    EXECUTE format('DROP TABLE %I.%I', 'pgjobs', part);
    RETURN true;
END $$;

-- A channel per queue, so that a listener is woken for its own queues only. Names of channels are at most 63 bytes
-- long, those of queues are not: hence the hash.
CREATE FUNCTION pgjobs.doorbell_channel(queue text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT pg_catalog.left('pgjobs', 20) OPERATOR(pg_catalog.||) ':' OPERATOR(pg_catalog.||) pg_catalog.md5(queue)
$$;

-- NOTIFY takes a database-wide lock at commit, until the commit is written. So an INSERT of jobs rings only where
-- a producer waits, and only if no other transaction is about to ring for the same queue:
-- - The sequence `doorbell` says until when the bell of any queue is armed. It is read without a snapshot or a query,
--   so while all queues are busy an INSERT looks no further. Set too far ahead it costs time, set too low it costs a
--   ring: the truth is in queues.doorbell_until.
-- - Then `is_to_ring` looks at the bell of the row's own queue, once in a transaction.
-- - The ring itself waits for the commit. The first to be there holds a lock until it is committed, and the others
--   leave it to that one: they are committed at about the same time, and a woken listener keeps looking for some
--   milliseconds. With 64 clients and an armed bell that is 3,600 rows/s, where a NOTIFY each gave 460 (4,500 with
--   none).
--
-- This one sets the sequence when a bell is armed, with the rights of the owner. Others may not set it.
CREATE FUNCTION pgjobs.open_doorbell() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'pgjobs.queues'::regclass THEN  -- or else any user's own table would be looked at with these rights
        RAISE EXCEPTION 'this is for the table of queues alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM setval('pgjobs.doorbell', greatest(
        pg_sequence_last_value('pgjobs.doorbell'),
        least(extract(epoch FROM NEW.doorbell_until) + 1, 253402300800)::bigint));
    RETURN NULL;
END $$;

REVOKE EXECUTE ON FUNCTION pgjobs.open_doorbell() FROM PUBLIC;

-- For what is due in a moment too: a listener then knows when to look.
CREATE FUNCTION pgjobs.is_to_ring(queue text, run_at timestamptz, status text) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.current_setting('doorbell.asked_in_' OPERATOR(pg_catalog.||) 'pgjobs', true)
               OPERATOR(pg_catalog.=) queue
            OR status OPERATOR(pg_catalog.=) 'running'
            OR run_at OPERATOR(pg_catalog.>)
               (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '2 s') THEN
        RETURN false;
    END IF;
    PERFORM pg_catalog.set_config('doorbell.asked_in_' OPERATOR(pg_catalog.||) 'pgjobs', queue, true);
    RETURN EXISTS (SELECT FROM pgjobs.queues AS q
                   WHERE q.name OPERATOR(pg_catalog.=) is_to_ring.queue
                     AND q.doorbell_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp());
END $$;

CREATE FUNCTION pgjobs.ring_doorbell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    channel CONSTANT pg_catalog.text := pgjobs.doorbell_channel(NEW.queue);
BEGIN
    IF pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(channel, 0::bigint)) THEN
        PERFORM pg_catalog.pg_notify(channel, ''::pg_catalog.text);
    END IF;
    RETURN NULL;
END $$;

-- All callers lock the keys of one statement in the same order, so none of them waits for one that waits for it. The
-- update is never done; but the row is locked for it.
CREATE FUNCTION pgjobs.lock_unique_keys(keys text[]) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO pgjobs.unique_keys AS k (key)
    SELECT a.key FROM (SELECT DISTINCT unnest(keys) AS key) AS a ORDER BY a.key COLLATE "C"
    ON CONFLICT (key) DO UPDATE SET job_id = k.job_id WHERE false;
    RETURN cardinality(keys);
END $$;

-- The columns that a job's options decide, in the order of EnqueueColumns in db/enqueue_columns.py.
CREATE TYPE pgjobs.enqueue_columns AS (
    run_at timestamptz, queue text, priority smallint, max_attempts integer, timeout real, executor text, task text,
    meta jsonb
);

-- Enqueue jobs that have unique keys or wait for others, and check both.
-- It returns the ids of the jobs, in their order; one below 0 is that of a job which has the key already. Nothing is
-- inserted, and no transaction ends, when on_conflict is 'raise' and there is such a job (the others are 0 then), or
-- when a needed job does not exist (0 comes first then, and the ids that do not exist after it).
-- Plans are pinned: right after the tables have been filled, statistics would have them read as a whole. They are made
-- once in a session: for each call again took more than half of its time.
CREATE FUNCTION pgjobs.enqueue_after_checks(
    new pgjobs.enqueue_columns, new_on_failure text, new_expires_at timestamptz, lanes text[], costs real[],
    summaries text[], signatures bytea[], payloads bytea[], keys text[], new_until_started boolean, period float8,
    on_conflict text, needed bigint[], if_failed text
) RETURNS SETOF bigint LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    is_later CONSTANT boolean := new.run_at > statement_timestamp();
    own bigint[] := '{}';
    missing bigint[];
    replaced text[];  -- the keys whose jobs were
    ids bigint[];  -- the answer
    made bigint[];  -- the id with which each is inserted; NULL: it is not
    tries integer := 0;
BEGIN
    IF needed IS NOT NULL THEN
        SELECT array_agg(n.id) FILTER (WHERE NOT n.is_done), array_agg(n.id) FILTER (WHERE NOT n.is_there)
        INTO needed, missing
        FROM (SELECT DISTINCT a.id, EXISTS (SELECT FROM pgjobs.jobs AS j WHERE j.id = a.id)
                     OR EXISTS (SELECT FROM pgjobs.dead_jobs AS d WHERE d.id = a.id) AS is_there,
                     EXISTS (SELECT FROM pgjobs.jobs AS j WHERE j.id = a.id AND j.status = 'completed')
                     AND NOT EXISTS (SELECT FROM pgjobs.jobs AS j
                                     WHERE j.id = a.id AND j.status <> 'completed') AS is_done
              FROM unnest(needed) AS a (id)) AS n;
        IF missing IS NOT NULL THEN
            RETURN QUERY SELECT 0::bigint UNION ALL SELECT unnest(missing);
            RETURN;
        END IF;
    END IF;
    IF keys IS NULL THEN
        SELECT array_agg(nextval('pgjobs.jobs_id_seq')) INTO ids FROM generate_series(1, cardinality(payloads));
        made := ids;
    ELSE
        PERFORM pgjobs.lock_unique_keys(keys);
        -- What follows has a snapshot of its own: the transaction that had a key before has committed by now.
        WHILE on_conflict = 'replace' LOOP
            BEGIN
                WITH changed AS (
                    UPDATE pgjobs.jobs AS j
                    SET run_at = new.run_at, queue = new.queue, priority = new.priority,
                        max_attempts = new.max_attempts, timeout = new.timeout, executor = new.executor,
                        task = new.task, meta = new.meta, summary = a.summary, signature = a.signature,
                        payload = a.payload,
                        status = CASE WHEN a.lane IS NULL AND coalesce(j.held, '') <> 'task'
                                      THEN 'queued' ELSE 'waiting' END,
                        held = CASE WHEN j.held = 'task' THEN j.held
                                    WHEN a.lane IS NOT NULL AND is_later THEN 'later' END,
                        lane = a.lane, limit_key = nullif(split_part(a.lane, chr(31), 2), ''),
                        sequence = nullif(split_part(a.lane, chr(31), 3), ''),
                        breaker = nullif(split_part(a.lane, chr(31), 4), ''),
                        cost = a.cost, on_failure = new_on_failure, expires_at = new_expires_at
                    FROM (SELECT b.*, row_number() OVER (PARTITION BY b.key ORDER BY b.n DESC) AS from_last
                          FROM unnest(keys, lanes, costs, summaries, signatures, payloads) WITH ORDINALITY
                               AS b (key, lane, cost, summary, signature, payload, n)) AS a
                         JOIN pgjobs.unique_keys AS k ON k.key = a.key
                    WHERE a.from_last = 1 AND j.id = k.job_id AND j.status IN ('queued', 'waiting')
                      AND j.claims = 0
                      -- Else the end of another job, which changes this row, would wait for this transaction.
                      AND coalesce(j.held, '') <> 'needs'
                    RETURNING a.key
                )
                SELECT array_agg(c.key) INTO replaced FROM changed AS c;
                EXIT;
            EXCEPTION WHEN serialization_failure THEN
                -- Its turn has come meanwhile: it is in another partition now.
                tries := tries + 1;
                IF tries >= 5 THEN
                    RAISE;
                END IF;
            END;
        END LOOP;
        WITH wanted AS (
            SELECT a.key, a.n, min(a.n) OVER w AS first, max(a.n) OVER w AS last
            FROM unnest(keys) WITH ORDINALITY AS a (key, n) WINDOW w AS (PARTITION BY a.key)
        ), held AS (
            SELECT w.*, CASE WHEN j.id IS NOT NULL OR k.held_until > clock_timestamp() THEN k.job_id END AS holder
            FROM wanted AS w JOIN pgjobs.unique_keys AS k ON k.key = w.key
                 LEFT JOIN pgjobs.jobs AS j
                 ON j.id = k.job_id AND j.status IN ('queued', 'waiting', 'running')
                    AND NOT (k.until_started AND (j.status = 'running' OR j.claims > 0))
            ORDER BY w.n
        ), numbered AS MATERIALIZED (  -- in their order, because that is the order of a sequence
            SELECT h.*, CASE WHEN h.holder IS NULL AND h.n = h.first THEN nextval('pgjobs.jobs_id_seq') END AS fresh
            FROM held AS h
        ), decided AS (
            SELECT n.*, max(n.fresh) OVER (PARTITION BY n.key) AS taken FROM numbered AS n
        )
        SELECT array_agg(coalesce(d.fresh, - coalesce(d.taken, d.holder)) ORDER BY d.n),
               array_agg(CASE WHEN d.n = CASE on_conflict WHEN 'replace' THEN d.last ELSE d.first END
                              THEN d.taken END ORDER BY d.n)
        INTO ids, made FROM decided AS d;
        IF on_conflict = 'raise' AND 0 > ANY (ids) THEN
            RETURN QUERY SELECT least(a.id, 0) FROM unnest(ids) AS a (id);
            RETURN;
        END IF;
        IF replaced IS NULL AND array_remove(made, NULL) = '{}' THEN
            RETURN QUERY SELECT unnest(ids);
            RETURN;
        END IF;
        UPDATE pgjobs.unique_keys AS k
        SET job_id = coalesce(a.id, k.job_id), until_started = new_until_started,
            held_until = statement_timestamp() + period * interval '1 second'
        FROM (SELECT b.key, b.id FROM unnest(keys, made) AS b (key, id) WHERE b.id IS NOT NULL
              UNION ALL SELECT unnest(replaced), NULL) AS a
        WHERE k.key = a.key;
        IF replaced IS NOT NULL AND NOT is_later THEN
            PERFORM pg_notify(pgjobs.doorbell_channel(new.queue), '')
            FROM pgjobs.queues AS q WHERE q.name = new.queue AND q.doorbell_until > clock_timestamp();
        END IF;
    END IF;
    INSERT INTO pgjobs.jobs (run_at, queue, priority, max_attempts, timeout, executor, task, meta,
                             id, summary, signature, payload, status, held, needs, lane, limit_key, sequence, breaker,
                             cost, on_failure, expires_at)
    SELECT new.*, a.id, a.summary, a.signature, a.payload,
           CASE WHEN a.lane IS NULL AND needed IS NULL THEN 'queued' ELSE 'waiting' END,
           CASE WHEN needed IS NOT NULL THEN 'needs' WHEN a.lane IS NOT NULL AND is_later THEN 'later' END,
           cardinality(needed), a.lane, nullif(split_part(a.lane, chr(31), 2), ''),
           nullif(split_part(a.lane, chr(31), 3), ''), nullif(split_part(a.lane, chr(31), 4), ''), a.cost,
           new_on_failure, new_expires_at
    FROM unnest(made, lanes, costs, summaries, signatures, payloads)
         AS a (id, lane, cost, summary, signature, payload)
    WHERE a.id IS NOT NULL;
    IF needed IS NOT NULL THEN
        -- Jobs that this transaction has inserted are visible to no other, so their rows are marked at once. The rows
        -- of other jobs are not touched, so that no one waits for this transaction; a worker marks them.
        SELECT coalesce(array_agg(j.id), '{}') INTO own FROM pgjobs.jobs AS j
        WHERE j.id = ANY (needed) AND j.status IN ('queued', 'waiting') AND j.claims = 0
          AND j.xmin = pg_current_xact_id()::xid;
        UPDATE pgjobs.jobs AS j SET dependents = true
        WHERE j.id = ANY (own) AND j.status IN ('queued', 'waiting') AND j.dependents IS NOT TRUE;
        INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure, settled)
        SELECT n.id, m.id, if_failed, n.id = ANY (own)
        FROM unnest(made) AS m (id), unnest(needed) AS n (id) WHERE m.id IS NOT NULL;
    END IF;
    RETURN QUERY SELECT unnest(ids);
END $$;

-- For enqueueing in SQL, with JSON arguments, for jobs with `payload="json"`. The summary is like that of `enqueue` in
-- Python, as far as it is known here what the arguments are called.
CREATE FUNCTION pgjobs.enqueue(
    task text, args jsonb DEFAULT '[]', queue text DEFAULT 'default', priority integer DEFAULT 5,
    run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL, max_attempts integer DEFAULT 5,
    timeout interval DEFAULT NULL, executor text DEFAULT NULL, tenant text DEFAULT NULL,
    limit_key text DEFAULT NULL, sequence text DEFAULT NULL, on_failure text DEFAULT 'block',
    breaker text DEFAULT NULL, cost double precision DEFAULT NULL, expires interval DEFAULT NULL,
    unique_key text DEFAULT NULL, unique_until text DEFAULT 'finished', unique_for interval DEFAULT NULL,
    on_conflict text DEFAULT 'skip', after bigint[] DEFAULT NULL, if_failed text DEFAULT 'wait', meta jsonb DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    shown text;
    job bigint;
    due timestamptz := coalesce(run_at, statement_timestamp() + coalesce(delay, interval '0'));
    lane text := CASE WHEN coalesce(tenant, limit_key, sequence, breaker, expires::text) IS NOT NULL THEN
        concat_ws(chr(31), coalesce(tenant, ''), coalesce(limit_key, ''), coalesce(sequence, ''),
                  coalesce(breaker, '')) END;
    given text;
    found bigint[];
    new CONSTANT pgjobs.enqueue_columns := ROW(
        due, queue, priority, max_attempts, extract(epoch FROM timeout), executor, task, meta);
BEGIN
    IF task IS NULL OR task !~ '^[^\s:]+(:[^\s:]+)?$' THEN
        RAISE EXCEPTION 'task % is not the name of a function', coalesce(quote_literal(task), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give module:function, such as shop.tasks:send, or the name of a job.';
    ELSIF args IS NULL OR jsonb_typeof(args) NOT IN ('array', 'object') THEN
        RAISE EXCEPTION 'the arguments of % are neither an array nor an object', task
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give [42] for arguments by position, {"order_id": 42} by name.';
    ELSIF jsonb_typeof(args) = 'object' AND coalesce(jsonb_typeof(args -> '*'), 'array') <> 'array' THEN
        RAISE EXCEPTION 'the arguments of % by position ("*") are not an array', task
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give {"*": [42], "copy": true}.';
    ELSIF jsonb_typeof(meta) <> 'object' OR octet_length(meta::text) > 4096 THEN
        RAISE EXCEPTION 'meta is not an object of 4096 bytes at most' USING ERRCODE = 'invalid_parameter_value';
    ELSIF run_at IS NOT NULL AND delay IS NOT NULL THEN
        RAISE EXCEPTION 'run_at and delay were both given: use one' USING ERRCODE = 'invalid_parameter_value';
    ELSIF delay < interval '0' THEN
        RAISE EXCEPTION 'delay is negative' USING ERRCODE = 'invalid_parameter_value';
    ELSIF expires <= interval '0' OR unique_for <= interval '0' OR NOT coalesce(cost > 0 AND cost <= 1e6, true) THEN
        RAISE EXCEPTION 'expires, unique_for and cost are above 0, and cost is 1,000,000 at most'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF on_failure IS NULL OR on_failure NOT IN ('block', 'skip', 'end') THEN
        RAISE EXCEPTION 'on_failure is block, skip or end' USING ERRCODE = 'invalid_parameter_value';
    ELSIF unique_until IS NULL OR unique_until NOT IN ('finished', 'started') THEN
        RAISE EXCEPTION 'unique_until is finished or started' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'For a period, give unique_for.';
    ELSIF on_conflict IS NULL OR on_conflict NOT IN ('skip', 'replace', 'raise') THEN
        RAISE EXCEPTION 'on_conflict is skip, replace or raise' USING ERRCODE = 'invalid_parameter_value';
    ELSIF if_failed IS NULL OR if_failed NOT IN ('wait', 'run', 'cancel') THEN
        RAISE EXCEPTION 'if_failed is wait, run or cancel' USING ERRCODE = 'invalid_parameter_value';
    ELSIF on_conflict = 'replace' AND unique_key IS NOT NULL AND after <> '{}' THEN
        RAISE EXCEPTION 'on_conflict = replace and after were both given: use one'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOREACH given IN ARRAY ARRAY[tenant, limit_key, sequence, breaker, unique_key] LOOP
        IF given = '' OR length(given) > 100 OR given ~ '[[:cntrl:]]' THEN
            RAISE EXCEPTION 'the key % cannot be used', quote_literal(left(given, 100))
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Give 1 to 100 printable characters.';
        END IF;
    END LOOP;
    IF jsonb_typeof(args) = 'array' THEN
        SELECT string_agg(a.value::text, ', ') INTO shown FROM jsonb_array_elements(args) AS a;
    ELSE
        SELECT string_agg(a.key || '=' || CASE
                   WHEN a.key ~* 'passw|secret|token|api_?key|credential' THEN '***' ELSE a.value::text END, ', ')
        INTO shown FROM jsonb_each(args) AS a;
    END IF;
    shown := left(format('%s(%s)', coalesce(nullif(split_part(task, ':', 2), ''), task), shown), 200);
    IF coalesce(lane, cost::text, expires::text, unique_key, nullif(after, '{}')::text) IS NOT NULL THEN
        SELECT array_agg(e.id) INTO found
        FROM pgjobs.enqueue_after_checks(
            new, CASE WHEN sequence IS NOT NULL THEN on_failure END, due + expires, ARRAY[lane], ARRAY[cost]::real[],
            ARRAY[shown], NULL, ARRAY[convert_to(args::text, 'UTF8')],
            CASE WHEN unique_key IS NOT NULL THEN ARRAY[unique_key] END, unique_until = 'started',
            extract(epoch FROM unique_for)::float8, on_conflict, nullif(after, '{}'), if_failed) AS e (id);
        IF found[1] = 0 THEN
            RAISE EXCEPTION 'there is no job %, which this one is to wait for', found[2]
                USING ERRCODE = 'foreign_key_violation', HINT = 'Give ids of jobs that are still there.';
        ELSIF found[1] < 0 AND on_conflict = 'raise' THEN
            RAISE EXCEPTION 'job % has the key %', -found[1], quote_literal(unique_key)
                USING ERRCODE = 'unique_violation', HINT = 'Leave on_conflict out to get the id of that job.';
        END IF;
        RETURN abs(found[1]);
    END IF;
    INSERT INTO pgjobs.jobs (run_at, queue, priority, max_attempts, timeout, executor, task, meta, summary, payload)
    SELECT new.*, shown, convert_to(args::text, 'UTF8')
    RETURNING id INTO job;
    RETURN job;
END $$;

COMMENT ON FUNCTION pgjobs.enqueue
    IS 'Enqueue a call of a function that has @job(payload="json"), and give the id of the job.';
