-- Create one day of minutes (UTC), as create_results_partition does for results. The day has little of it yet.
CREATE FUNCTION pgjobs.create_minutes_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '200ms' SET search_path = pg_catalog, pg_temp
    SET "DateStyle" = 'ISO' SET "TimeZone" = 'UTC' AS $$
DECLARE
    part text := 'queue_minutes_' || to_char(day, 'YYYYMMDD');
    starts timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    given record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('minutes'));
    IF EXISTS (SELECT FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace AND relname = part) THEN
        RETURN false;
    END IF;
    IF (SELECT count(*) FROM (SELECT FROM pgjobs.queue_minutes_default
                              WHERE minute >= starts AND minute < ends LIMIT 20001) AS found) > 20000 THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I.%I (LIKE pgjobs.queue_minutes INCLUDING DEFAULTS INCLUDING INDEXES)',
                   'pgjobs', part);
    FOR given IN SELECT a.privilege_type AS privilege,
                        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
                 FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
                 WHERE c.oid = 'pgjobs.queue_minutes'::regclass AND a.grantee <> c.relowner LOOP
        EXECUTE format('GRANT %s ON %I.%I TO %s', given.privilege, 'pgjobs', part, given.grantee);
    END LOOP;
    LOCK TABLE ONLY pgjobs.queue_minutes IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE pgjobs.queue_minutes_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('WITH moved AS (DELETE FROM pgjobs.queue_minutes_default
                                   WHERE minute >= %L AND minute < %L RETURNING *)
                    INSERT INTO %I.%I SELECT * FROM moved', starts, ends, 'pgjobs', part);
    EXECUTE format('ALTER TABLE pgjobs.queue_minutes ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
                   'pgjobs', part, starts, ends);
    RETURN true;
END $$;

-- Drop a day of minutes. False: it is in use, or was dropped already.
CREATE FUNCTION pgjobs.drop_minutes_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text := 'queue_minutes_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('minutes'));
    IF NOT EXISTS (SELECT FROM pg_class
                   JOIN pg_inherits ON inhrelid = oid AND inhparent = 'pgjobs.queue_minutes'::regclass
                   WHERE relnamespace = 'pgjobs'::regnamespace AND relname = part) THEN
        RETURN false;
    END IF;
    BEGIN
        EXECUTE format('LOCK TABLE pgjobs.queue_minutes, %I.%I, pgjobs.queue_minutes_default IN ACCESS EXCLUSIVE MODE',
                       'pgjobs', part);
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;
    END;
    EXECUTE format('DROP TABLE %I.%I', 'pgjobs', part);
    RETURN true;
END $$;

REVOKE EXECUTE ON FUNCTION pgjobs.create_minutes_partition, pgjobs.drop_minutes_partition FROM PUBLIC;

-- Roles of the version before: one that makes days of history makes those of minutes.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT a.grantee::regrole::text AS role
        FROM pg_catalog.pg_proc AS f CROSS JOIN pg_catalog.aclexplode(f.proacl) AS a
        WHERE f.pronamespace = 'pgjobs'::regnamespace AND f.proname = 'create_history_partition'
          AND a.grantee NOT IN (0, f.proowner) AND a.privilege_type = 'EXECUTE'
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION pgjobs.create_minutes_partition, pgjobs.drop_minutes_partition '
                       'TO %s', given.role);
    END LOOP;
END $$;

-- Today and tomorrow.
SELECT pgjobs.create_minutes_partition((now() AT TIME ZONE 'UTC')::date + n) FROM generate_series(0, 1) AS n;
