-- Make the jobs of events: one for each event and subscription that wants it; `receiver`: for that subscription alone.
-- Returns the ids of those subscriptions. A job that takes turns has a lane, as in enqueue_in_lane.sql; a sequence is
-- one of each subscription. The payload is a JSON object of which the publisher has signed the second part, the body,
-- and the declarer of the subscription all that is in `signature` before that: see payload/events.py.
CREATE FUNCTION pgjobs.deliver_events(
    ids bigint[], topics text[], times timestamptz[], sequences text[], signatures bytea[], bodies bytea[],
    receiver integer
) RETURNS integer[] LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    receivers integer[];
    wanted bigint;
    made bigint;
BEGIN
    WITH matched AS MATERIALIZED (
        SELECT s.id AS subscription, s.name, s.pattern, s.queue, s.priority, s.max_attempts, s.timeout, s.executor,
               s.meta, s.summary, s.signature AS head, s.cost, s.on_failure, s.limit_key, s.breaker,
               statement_timestamp() + s.expires * interval '1 second' AS expires_at,
               e.id, e.topic, e.at, e.signature, e.body, '#' || s.id || ':' || e.sequence AS sequence,
               CASE WHEN coalesce(s.fair_by, s.limit_key, e.sequence, s.breaker, s.expires::text) IS NOT NULL THEN
                   concat_ws(chr(31), coalesce(s.fair_by, ''), coalesce(s.limit_key, ''),
                             coalesce('#' || s.id || ':' || e.sequence, ''), coalesce(s.breaker, '')) END AS lane
        FROM unnest(ids, topics, times, sequences, signatures, bodies) WITH ORDINALITY
             AS e (id, topic, at, sequence, signature, body, n)
        JOIN pgjobs.subscriptions AS s
        ON s.pattern = e.topic OR (starts_with(e.topic, s.prefix) AND (e.topic || '.') ~ s.regex)
        WHERE CASE WHEN receiver IS NULL THEN s.retired_at IS NULL AND s.drops_since IS NULL ELSE s.id = receiver END
        ORDER BY e.n, s.id
    ), inserted AS (
        INSERT INTO pgjobs.jobs (queue, priority, max_attempts, timeout, executor, task, meta, summary, signature,
                                 payload, status, lane, limit_key, sequence, breaker, cost, on_failure, expires_at)
        SELECT m.queue, m.priority, m.max_attempts, m.timeout, m.executor, m.name, m.meta,
               left(m.summary || '(' || m.topic || ' ' || m.id || ')', 200), m.head || m.signature,
               convert_to('{"*event":{"id":' || m.id || ',"at":"'
                          || to_char(m.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                          || '","pattern":"' || m.pattern || '"', 'UTF8') || m.body,
               CASE WHEN m.lane IS NULL THEN 'queued' ELSE 'waiting' END,
               m.lane, m.limit_key, m.sequence, m.breaker, m.cost,
               CASE WHEN m.sequence IS NOT NULL THEN m.on_failure END, m.expires_at
        FROM matched AS m
        RETURNING 1
    )
    SELECT (SELECT array_agg(DISTINCT m.subscription) FROM matched AS m), (SELECT count(*) FROM matched),
           (SELECT count(*) FROM inserted)
    INTO receivers, wanted, made;
    IF made <> wanted THEN
        RAISE EXCEPTION 'a trigger or rule of pgjobs.jobs has kept a job out'
            USING ERRCODE = 'triggered_action_exception';
    END IF;
    RETURN coalesce(receivers, '{}');
END $$;

-- Publish an event: make its jobs, and keep it if its topic does. Returns its id.
CREATE FUNCTION pgjobs.publish_event(topic text, body bytea, signature bytea, sequence text) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $$
DECLARE
    event CONSTANT bigint := nextval('pgjobs.event_ids');
    receivers integer[];
BEGIN
    IF topic IS NULL OR length(topic) > 200 OR topic !~ '^[A-Za-z0-9_:-]+(\.[A-Za-z0-9_:-]+)*$' THEN
        RAISE EXCEPTION 'the topic % cannot be used', coalesce(quote_literal(left(topic, 100)), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give segments of letters, digits, _, - and :, separated by dots, such as order.placed.';
    ELSIF sequence = '' OR length(sequence) > 80 OR sequence ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'the sequence % cannot be used', quote_literal(left(sequence, 100))
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give 1 to 80 printable characters.';
    END IF;
    receivers := pgjobs.deliver_events(ARRAY[event], ARRAY[topic], ARRAY[statement_timestamp()], ARRAY[sequence],
                                       ARRAY[signature], ARRAY[body], NULL);
    INSERT INTO pgjobs.events (id, published_at, kept_until, topic, sequence, delivered, signature, body)
    SELECT event, statement_timestamp(), statement_timestamp() + k.keep, publish_event.topic, publish_event.sequence,
           receivers, publish_event.signature, publish_event.body
    FROM (SELECT max(t.keep) AS keep FROM pgjobs.topics AS t
          WHERE t.retired_at IS NULL
            AND (t.pattern = publish_event.topic OR (starts_with(publish_event.topic, t.prefix)
                                                     AND (publish_event.topic || '.') ~ t.regex))) AS k
    WHERE k.keep IS NOT NULL;
    RETURN event;
END $$;

-- The same for SQL and for other languages. What is published so is not signed.
CREATE FUNCTION pgjobs.publish(topic text, payload jsonb DEFAULT 'null', sequence text DEFAULT NULL) RETURNS bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT pgjobs.publish_event(
        topic,
        convert_to(format(',"topic":%s,"payload":%s}}', to_jsonb(topic), coalesce(payload, 'null')), 'UTF8'),
        NULL, sequence);
$$;

COMMENT ON FUNCTION pgjobs.publish
    IS 'Publish an event: each subscription whose pattern matches the topic gets a job. Returns the id of the event.';

-- Make the jobs of kept events for one subscription: of those that it has none for yet. The next `batch` after one
-- (by time and id); returns how many were looked at and made, and the last of them. Two replays at once wait for one
-- another's rows, and look again then: each event gets one job.
CREATE FUNCTION pgjobs.replay_events(
    receiver integer, since timestamptz, until timestamptz, after_at timestamptz, after_id bigint, batch integer,
    OUT seen bigint, OUT made bigint, OUT last_at timestamptz, OUT last_id bigint
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
BEGIN
    -- As it is now, until the jobs are made: what is marked gets a job.
    PERFORM FROM pgjobs.subscriptions AS s WHERE s.id = receiver FOR SHARE;
    WITH next AS MATERIALIZED (
        SELECT e.id, e.published_at
        FROM pgjobs.events AS e
        WHERE e.published_at >= since AND e.published_at < until AND (e.published_at, e.id) > (after_at, after_id)
          AND e.kept_until > now()
        ORDER BY e.published_at, e.id
        LIMIT batch
    ), marked AS (
        UPDATE pgjobs.events AS e
        SET delivered = e.delivered || receiver
        FROM pgjobs.subscriptions AS s
        WHERE e.id = ANY (ARRAY (SELECT n.id FROM next AS n)) AND NOT receiver = ANY (e.delivered) AND s.id = receiver
          AND s.retired_at IS NULL
          AND (s.pattern = e.topic OR (starts_with(e.topic, s.prefix) AND (e.topic || '.') ~ s.regex))
        RETURNING e.id, e.topic, e.published_at AS at, e.sequence, e.signature, e.body
    )
    SELECT (SELECT count(*) FROM next) AS seen, count(*) AS made,
           (SELECT max(n.published_at) FROM next AS n) AS last_at,
           (SELECT n.id FROM next AS n ORDER BY n.published_at DESC, n.id DESC LIMIT 1) AS last_id,
           array_agg(m.id ORDER BY m.at, m.id) AS ids, array_agg(m.topic ORDER BY m.at, m.id) AS topics,
           array_agg(m.at ORDER BY m.at, m.id) AS times, array_agg(m.sequence ORDER BY m.at, m.id) AS sequences,
           array_agg(m.signature ORDER BY m.at, m.id) AS signatures, array_agg(m.body ORDER BY m.at, m.id) AS bodies
    INTO found
    FROM marked AS m;
    IF found.made > 0 THEN
        PERFORM pgjobs.deliver_events(found.ids, found.topics, found.times, found.sequences, found.signatures,
                                      found.bodies, receiver);
    END IF;
    seen := found.seen;
    made := found.made;
    last_at := found.last_at;
    last_id := found.last_id;
END $$;

-- Create one day of kept events (UTC), as create_results_partition does for results.
CREATE FUNCTION pgjobs.create_events_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '200ms' SET search_path = pg_catalog, pg_temp
    SET "DateStyle" = 'ISO' SET "TimeZone" = 'UTC' AS $$
DECLARE
    part text := 'events_' || to_char(day, 'YYYYMMDD');
    starts timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    given record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('events'));
    IF EXISTS (SELECT FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace AND relname = part) THEN
        RETURN false;
    END IF;
    IF (SELECT count(*) FROM (SELECT FROM pgjobs.events_default
                              WHERE kept_until >= starts AND kept_until < ends LIMIT 2001) AS found) > 2000 THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I.%I (LIKE pgjobs.events INCLUDING DEFAULTS)', 'pgjobs', part);
    EXECUTE format('ALTER TABLE %I.%I REPLICA IDENTITY FULL', 'pgjobs', part);
    FOR given IN SELECT a.privilege_type AS privilege,
                        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
                 FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
                 WHERE c.oid = 'pgjobs.events'::regclass AND a.grantee <> c.relowner LOOP
        EXECUTE format('GRANT %s ON %I.%I TO %s', given.privilege, 'pgjobs', part, given.grantee);
    END LOOP;
    LOCK TABLE ONLY pgjobs.events IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE pgjobs.events_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('WITH moved AS (DELETE FROM pgjobs.events_default
                                   WHERE kept_until >= %L AND kept_until < %L RETURNING *)
                    INSERT INTO %I.%I SELECT * FROM moved', starts, ends, 'pgjobs', part);
    EXECUTE format('ALTER TABLE pgjobs.events ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
                   'pgjobs', part, starts, ends);
    RETURN true;
END $$;

-- Drop a day whose events have all expired. False: it is in use, or was dropped already.
CREATE FUNCTION pgjobs.drop_events_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text := 'events_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('events'));
    IF NOT EXISTS (SELECT FROM pg_class
                   JOIN pg_inherits ON inhrelid = oid AND inhparent = 'pgjobs.events'::regclass
                   WHERE relnamespace = 'pgjobs'::regnamespace AND relname = part) THEN
        RETURN false;
    END IF;
    BEGIN
        EXECUTE format('LOCK TABLE pgjobs.events, %I.%I, pgjobs.events_default IN ACCESS EXCLUSIVE MODE',
                       'pgjobs', part);
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;
    END;
    EXECUTE format('DROP TABLE %I.%I', 'pgjobs', part);
    RETURN true;
END $$;

REVOKE EXECUTE ON FUNCTION pgjobs.create_events_partition, pgjobs.drop_events_partition FROM PUBLIC;

-- Roles of the version before: who may enqueue may publish, with the rights of the owner, and no one else then; who
-- makes days of history makes those of events.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT f.proname AS function, f.prosecdef AS with_rights_of_owner, a.grantee::regrole::text AS role
        FROM pg_catalog.pg_proc AS f CROSS JOIN pg_catalog.aclexplode(f.proacl) AS a
        WHERE f.pronamespace = 'pgjobs'::regnamespace
          AND f.proname IN ('create_history_partition', 'enqueue_after_checks')
          AND a.grantee NOT IN (0, f.proowner) AND a.privilege_type = 'EXECUTE'
    LOOP
        IF given.function = 'create_history_partition' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION pgjobs.create_events_partition, pgjobs.drop_events_partition '
                           'TO %s', given.role);
        ELSIF given.with_rights_of_owner THEN
            ALTER FUNCTION pgjobs.publish_event SECURITY DEFINER;
            REVOKE EXECUTE ON FUNCTION pgjobs.publish_event FROM PUBLIC;
            EXECUTE format('GRANT EXECUTE ON FUNCTION pgjobs.publish_event TO %s', given.role);
        END IF;
    END LOOP;
END $$;
