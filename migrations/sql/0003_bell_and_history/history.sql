-- What LIKE does not copy for a day of history. Its rights are those of all of history, so that who may read it, or
-- dumps it, can go on doing so tomorrow. And a replica identity: where a publication contains the table, PostgreSQL
-- refuses UPDATE and DELETE without one. FULL, because no column is unique, not even the id after a restore. It costs
-- nothing until logical replication is on, and subscribers find rows by the index of ids.
CREATE FUNCTION pgjobs.complete_history_partition(part regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given record;
BEGIN
    EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', part);
    FOR given IN SELECT a.privilege_type AS privilege, a.is_grantable,
                        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
                 FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
                 WHERE c.oid = 'pgjobs.jobs_history'::regclass AND a.grantee <> c.relowner LOOP
        EXECUTE format('GRANT %s ON %s TO %s%s', given.privilege, part, given.grantee,
                       CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' END);
    END LOOP;
END $$;

REVOKE EXECUTE ON FUNCTION pgjobs.complete_history_partition FROM PUBLIC;

-- As before, with the line for what LIKE does not copy.
CREATE OR REPLACE FUNCTION pgjobs.create_history_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SET lock_timeout = '200ms' SET search_path = pg_catalog, pg_temp SET "DateStyle" = 'ISO'
    SET "TimeZone" = 'UTC' AS $$
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
    PERFORM pgjobs.complete_history_partition(to_regclass(format('%I.%I', 'pgjobs', part)));
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

-- The partitions of history that are not empty, in the order in which an ended job is looked for: the default one,
-- then the days, the newest first. Nothing is locked.
CREATE FUNCTION pgjobs.history_partitions() RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.relname::text
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'pgjobs.jobs_history'::regclass AND pg_relation_size(c.oid) > 0
    ORDER BY c.relname = 'jobs_history_default' DESC, c.relname DESC
$$;

-- Where ended jobs are: the newest rows of these ids in history. A statement that looks for ids there names the times
-- that this one returns, so that it is planned for their days and locks no others. Asked without, PostgreSQL locks
-- every day and each index of it, until the transaction ends: with a year of history 1,100 locks, and 26 such
-- transactions fill the server's table of locks.
--
-- Here as well one day is looked at after another, and locks are let go after 16: an error that is caught rolls them
-- back. Variables keep their values.
CREATE FUNCTION pgjobs.find_ended(wanted bigint[])
    RETURNS TABLE (id bigint, finished_at timestamptz, status text, claims integer, worker_id bigint, day text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    days text[];
    looked integer := 0;
    missing bigint[] := wanted;
    found jsonb := '[]';
    here jsonb;
BEGIN
    IF coalesce(cardinality(wanted), 0) = 0 THEN
        RETURN;
    END IF;
    days := ARRAY (SELECT d FROM pgjobs.history_partitions() AS d);
    WHILE looked < cardinality(days) AND cardinality(missing) > 0 LOOP
        BEGIN
            LOOP
                looked := looked + 1;
                EXECUTE format('SELECT jsonb_agg(jsonb_build_object(''id'', h.id, ''finished_at'', h.finished_at,
                                    ''status'', h.status, ''claims'', h.claims, ''worker_id'', h.worker_id,
                                    ''day'', %L::text))
                                FROM pgjobs.%I AS h WHERE h.id = ANY ($1)', days[looked], days[looked])
                INTO here USING missing;
                IF here IS NOT NULL THEN
                    found := found || here;
                END IF;
                IF here IS NOT NULL AND days[looked] <> 'jobs_history_default' THEN  -- which has rows of any day
                    missing := ARRAY (SELECT m FROM unnest(missing) AS m
                                      WHERE m NOT IN (SELECT (e -> 'id')::bigint FROM jsonb_array_elements(here) AS e));
                END IF;
                EXIT WHEN looked >= cardinality(days) OR cardinality(missing) = 0 OR looked % 16 = 0;
            END LOOP;
            RAISE EXCEPTION USING ERRCODE = 'PJ001';
        EXCEPTION
            WHEN SQLSTATE 'PJ001' THEN NULL;
            WHEN undefined_table THEN NULL;  -- the day was dropped meanwhile
        END;
    END LOOP;
    RETURN QUERY
    SELECT DISTINCT ON (e.id) e.*
    FROM jsonb_to_recordset(found)
         AS e (id bigint, finished_at timestamptz, status text, claims integer, worker_id bigint, day text)
    ORDER BY e.id, e.finished_at DESC;
END $$;

-- How jobs that are not live have ended, for those that wait for them. `completed`: NULL while it cannot be said,
-- because a transaction is about to put the job back. A row that says "not completed" stays locked, so that none does.
CREATE FUNCTION pgjobs.hold_ended(wanted bigint[]) RETURNS TABLE (id bigint, completed boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    lost bigint[] := '{}';
    held bigint[] := '{}';
    part record;
    here bigint[];
BEGIN
    FOR part IN SELECT e.day, array_agg(e.id) AS ids FROM pgjobs.find_ended(wanted) AS e
                WHERE e.status <> 'completed' GROUP BY e.day LOOP
        lost := lost || part.ids;
        BEGIN
            EXECUTE format('SELECT coalesce(array_agg(l.id), ''{}'')
                            FROM (SELECT h.id FROM pgjobs.%I AS h WHERE h.id = ANY ($1) AND h.status <> ''completed''
                                  FOR KEY SHARE SKIP LOCKED) AS l', part.day)
            INTO here USING part.ids;
            held := held || here;
        EXCEPTION WHEN undefined_table THEN
            NULL;
        END;
    END LOOP;
    RETURN QUERY
    SELECT w.id, CASE WHEN w.id = ANY (held) THEN false
                      WHEN w.id = ANY (lost) OR live.is_there THEN NULL
                      ELSE NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS d WHERE d.id = w.id) END
    FROM unnest(wanted) AS w (id)
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = w.id)
                               OR EXISTS (SELECT FROM pgjobs.jobs_waiting AS j WHERE j.id = w.id) AS is_there) AS live;
END $$;
