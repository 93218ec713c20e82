-- Create one day of results (UTC), as create_history_partition does for history: rows of that day which the default
-- partition has taken move into the new one, unless there are so many that it would take long.
CREATE FUNCTION pgjobs.create_results_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '200ms' SET search_path = pg_catalog, pg_temp
    SET "DateStyle" = 'ISO' SET "TimeZone" = 'UTC' AS $$
DECLARE
    part text := 'results_' || to_char(day, 'YYYYMMDD');
    starts timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    given record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('results'));
    IF EXISTS (SELECT FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace AND relname = part) THEN
        RETURN false;
    END IF;
    IF (SELECT count(*) FROM (SELECT FROM pgjobs.results_default
                              WHERE kept_until >= starts AND kept_until < ends LIMIT 2001) AS found) > 2000 THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I.%I (LIKE pgjobs.results INCLUDING DEFAULTS)', 'pgjobs', part);
    EXECUTE format('ALTER TABLE %I.%I REPLICA IDENTITY FULL', 'pgjobs', part);
    FOR given IN SELECT a.privilege_type AS privilege,
                        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
                 FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
                 WHERE c.oid = 'pgjobs.results'::regclass AND a.grantee <> c.relowner LOOP
        EXECUTE format('GRANT %s ON %I.%I TO %s', given.privilege, 'pgjobs', part, given.grantee);
    END LOOP;
    LOCK TABLE ONLY pgjobs.results IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE pgjobs.results_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('WITH moved AS (DELETE FROM pgjobs.results_default
                                   WHERE kept_until >= %L AND kept_until < %L RETURNING *)
                    INSERT INTO %I.%I SELECT * FROM moved', starts, ends, 'pgjobs', part);
    EXECUTE format('ALTER TABLE pgjobs.results ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
                   'pgjobs', part, starts, ends);
    RETURN true;
END $$;

-- Drop a day whose results have all expired. False: it is in use, or was dropped already.
CREATE FUNCTION pgjobs.drop_results_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part text := 'results_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('results'));
    IF NOT EXISTS (SELECT FROM pg_class
                   JOIN pg_inherits ON inhrelid = oid AND inhparent = 'pgjobs.results'::regclass
                   WHERE relnamespace = 'pgjobs'::regnamespace AND relname = part) THEN
        RETURN false;
    END IF;
    BEGIN
        EXECUTE format('LOCK TABLE pgjobs.results, %I.%I, pgjobs.results_default IN ACCESS EXCLUSIVE MODE',
                       'pgjobs', part);
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;
    END;
    EXECUTE format('DROP TABLE %I.%I', 'pgjobs', part);
    RETURN true;
END $$;

-- Arm the bell for some seconds; it is never set back. A process that waits for results does so. Others see it at
-- once, because sequences have no transactions.
CREATE FUNCTION pgjobs.arm_result_bell(seconds integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    until bigint := extract(epoch FROM clock_timestamp())::bigint + least(greatest(seconds, 0), 60);
BEGIN
    IF coalesce(pg_sequence_last_value('pgjobs.result_bell'), 0) < until THEN
        PERFORM setval('pgjobs.result_bell', until);
    END IF;
END $$;

REVOKE EXECUTE ON FUNCTION pgjobs.create_results_partition, pgjobs.drop_results_partition, pgjobs.arm_result_bell
    FROM PUBLIC;

-- Roles of the version before: one that makes days of history makes those of results, and one that looks for ended
-- jobs may wait.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT f.proname AS function, a.grantee::regrole::text AS role
        FROM pg_catalog.pg_proc AS f CROSS JOIN pg_catalog.aclexplode(f.proacl) AS a
        WHERE f.pronamespace = 'pgjobs'::regnamespace AND f.proname IN ('create_history_partition', 'find_ended')
          AND a.grantee NOT IN (0, f.proowner) AND a.privilege_type = 'EXECUTE'
    LOOP
        IF given.function = 'find_ended' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION pgjobs.arm_result_bell TO %s', given.role);
        ELSE
            EXECUTE format('GRANT EXECUTE ON FUNCTION pgjobs.create_results_partition, pgjobs.drop_results_partition '
                           'TO %s', given.role);
        END IF;
    END LOOP;
END $$;

-- What a job with JSON results returned, for SQL and for other languages. NULL: there is no result, or none yet. (What
-- a job returned as None is the JSON value null.)
CREATE FUNCTION pgjobs.result(id bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
BEGIN
    SELECT r.is_json, r.value INTO found
    FROM pgjobs.results AS r
    WHERE r.job_id = result.id AND r.kept_until > now()
    ORDER BY r.stored_at DESC LIMIT 1;
    IF NOT found.is_json THEN
        RAISE EXCEPTION 'the result of job % is a pickle', result.id
            USING ERRCODE = 'feature_not_supported', HINT = 'Give the job @job(payload="json", result=True).';
    END IF;
    RETURN convert_from(found.value, 'UTF8')::jsonb;
END $$;

COMMENT ON FUNCTION pgjobs.result
    IS 'What a job with @job(payload="json", result=True) returned; NULL: there is no result, or none yet.';
