-- A statement that moves jobs from table to table asks this: of the rows that it has deleted, were all inserted? What
-- a trigger (BEFORE ... RETURN NULL) or a rule of others keeps out would be lost. So the move fails, and the job stays
-- where it was.
CREATE FUNCTION pgjobs.all_kept(gone bigint, kept bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF kept < gone THEN
        RAISE EXCEPTION 'a trigger or rule keeps jobs out of a table of pgjobs: % of % would be lost, so they stay '
            'where they are', gone - kept, gone
            USING ERRCODE = 'triggered_action_exception', HINT = 'Run pgjobs doctor: it names the trigger.';
    END IF;
    RETURN true;
END $$;

-- All who move jobs call it, whatever the default of the database is for new functions.
GRANT EXECUTE ON FUNCTION pgjobs.all_kept TO PUBLIC;
