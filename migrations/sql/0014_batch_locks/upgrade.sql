-- The tables that are in use, and that this migration and 0016 change, before anything else: as in 0011.
DO $$
DECLARE
    before CONSTANT text := current_setting('lock_timeout');
    is_first boolean;
BEGIN
    FOR try IN 1..50 LOOP
        BEGIN
            is_first := true;
            LOCK TABLE pgjobs.jobs_waiting IN ACCESS EXCLUSIVE MODE;
            is_first := false;
            PERFORM set_config('lock_timeout', '100ms', true);
            LOCK TABLE pgjobs.key_locks IN ACCESS EXCLUSIVE MODE;
            PERFORM set_config('lock_timeout', before, true);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF is_first OR try = 50 THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;

-- A lane of batches is claimed by one claim at a time: it has a lock that only workers can take, as limits have.
ALTER TABLE pgjobs.key_locks
    DROP CONSTRAINT key_locks_kind_check,
    ADD CONSTRAINT key_locks_kind_check CHECK (kind IN ('limit', 'sequence', 'breaker', 'queue', 'batch'));

-- The name of that lock. Part of statements. A digest of the lane, which may be long; two lanes with one name would
-- only take turns.
CREATE FUNCTION pgjobs.batch_lock(queue text, priority smallint, lane text) RETURNS text
    LANGUAGE sql IMMUTABLE
RETURN queue || ':' || hashtextextended(lane, priority)::text;
