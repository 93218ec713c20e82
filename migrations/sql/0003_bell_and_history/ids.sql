-- The sequence of ids falls behind the tables where it is not moved along with them (logical replication takes no
-- sequences) or is reset (TRUNCATE ... RESTART IDENTITY). Then ids are given out again.
--
-- The largest id of a job, as far as can be said quickly: of history the three newest days that are not empty count.
-- An id from the upper half of the numbers was written by hand, and nothing continues from there.
CREATE FUNCTION pgjobs.largest_id() RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    part text;
    here bigint;
    largest bigint := 0;
BEGIN
    FOR part IN SELECT unnest('{jobs_live,jobs_waiting,dead_jobs}'::text[])
                UNION ALL (SELECT d FROM pgjobs.history_partitions() AS d LIMIT 4) LOOP
        EXECUTE format('SELECT max(id) FROM pgjobs.%I WHERE id < 4611686018427387904', part) INTO here;
        largest := greatest(largest, here);
    END LOOP;
    RETURN largest;
END $$;

-- Move the sequence past all ids, if it is behind, and return the largest of them. Others may take ids meanwhile: the
-- distance is for those. Nothing ever moves back.
CREATE FUNCTION pgjobs.advance_ids() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    largest bigint := pgjobs.largest_id();
    moved bigint;
BEGIN
    SELECT setval('pgjobs.jobs_id_seq', largest + 1000) INTO moved
    WHERE largest > coalesce(pg_sequence_last_value('pgjobs.jobs_id_seq'), 0);
    RETURN CASE WHEN moved IS NOT NULL THEN largest END;
END $$;

-- A letter is never overwritten by one of another job that was given the same id: the older letter gets a new one. The
-- same job has the same `enqueued_at`.
CREATE FUNCTION pgjobs.keep_older_letter() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fresh bigint;
BEGIN
    IF EXISTS (SELECT FROM pgjobs.dead_jobs AS d
               WHERE d.id = NEW.id AND d.enqueued_at IS DISTINCT FROM NEW.enqueued_at) THEN
        PERFORM pgjobs.advance_ids();
        UPDATE pgjobs.dead_jobs AS d SET id = nextval('pgjobs.jobs_id_seq') WHERE d.id = NEW.id
        RETURNING d.id INTO fresh;
        RAISE LOG 'pgjobs: the id % was given out again: the older dead letter is now %', NEW.id, fresh
            USING HINT = 'Run pgjobs doctor.';
    END IF;
    RETURN NEW;
END $$;
