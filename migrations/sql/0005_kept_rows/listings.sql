-- The jobs in history with the largest ids below `before`, for a listing. Days are looked at one after another, as in
-- find_ended, and locks are let go after 16: an error that is caught rolls them back, while variables and rows that
-- were returned stay. The ids that are found in one day are the bound for the next, which then takes one look into its
-- index. With the rights of who asks.
CREATE FUNCTION pgjobs.list_ended(
    wanted_status text, wanted_queue text, wanted_tasks text[], before bigint, most bigint
) RETURNS SETOF pgjobs.jobs LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_sort = off SET jit = off
AS $$
DECLARE
    days text[] := ARRAY (SELECT d FROM pgjobs.history_partitions() AS d);
    looked integer := 0;
    found bigint[] := '{}';
    found_in integer[] := '{}';  -- which of the days
    here bigint[];
    above bigint := -1;
    is_second boolean := false;  -- in the second pass the rows are read
BEGIN
    WHILE looked < cardinality(days) LOOP
        BEGIN
            LOOP
                looked := looked + 1;
                IF NOT is_second THEN
                    EXECUTE format('
                        SELECT array_agg(l.id)
                        FROM (SELECT h.id FROM pgjobs.%I AS h
                              WHERE h.id > $1 AND h.id < $2 AND ($3 IS NULL OR h.status = $3)
                                AND ($4 IS NULL OR h.queue = $4) AND ($5 IS NULL OR h.task LIKE ANY ($5))
                              ORDER BY h.id DESC LIMIT $6) AS l', days[looked])
                    INTO here USING above, coalesce(before, 9223372036854775807), wanted_status, wanted_queue,
                                    wanted_tasks, most;
                    IF here IS NOT NULL THEN
                        SELECT array_agg(b.id ORDER BY b.id DESC), array_agg(b.day ORDER BY b.id DESC)
                        INTO found, found_in
                        FROM (SELECT a.id, a.day
                              FROM (SELECT * FROM unnest(found, found_in) UNION ALL SELECT unnest(here), looked)
                                   AS a (id, day)
                              ORDER BY a.id DESC LIMIT most) AS b;
                        above := coalesce(found[most], above);
                    END IF;
                ELSIF looked = ANY (found_in) THEN
                    RETURN QUERY EXECUTE format('SELECT h.* FROM pgjobs.%I AS h WHERE h.id = ANY ($1)', days[looked])
                    USING ARRAY (SELECT a.id FROM unnest(found, found_in) AS a (id, day) WHERE a.day = looked);
                END IF;
                EXIT WHEN looked >= cardinality(days) OR looked % 16 = 0;
            END LOOP;
            RAISE EXCEPTION USING ERRCODE = 'PJ001';
        EXCEPTION
            WHEN SQLSTATE 'PJ001' THEN NULL;
            WHEN undefined_table THEN NULL;  -- the day was dropped meanwhile
        END;
        IF looked >= cardinality(days) AND NOT is_second THEN
            is_second := true;
            looked := 0;
        END IF;
    END LOOP;
END $$;

-- What a selection finds in history: how many jobs, and the largest id.
CREATE FUNCTION pgjobs.count_ended(wanted_statuses text[], wanted_queue text, wanted_tasks text[])
    RETURNS TABLE (jobs bigint, until bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    days text[] := ARRAY (SELECT d FROM pgjobs.history_partitions() AS d);
    looked integer := 0;
    here record;
BEGIN
    jobs := 0;
    WHILE looked < cardinality(days) LOOP
        BEGIN
            LOOP
                looked := looked + 1;
                EXECUTE format('
                    SELECT count(*) AS jobs, max(h.id) AS until
                    FROM pgjobs.%I AS h
                    WHERE h.status = ANY ($1) AND ($2 IS NULL OR h.queue = $2) AND ($3 IS NULL OR h.task LIKE ANY
                        ($3))',
                    days[looked])
                INTO here USING wanted_statuses, wanted_queue, wanted_tasks;
                jobs := jobs + here.jobs;
                until := greatest(until, here.until);
                EXIT WHEN looked >= cardinality(days) OR looked % 16 = 0;
            END LOOP;
            RAISE EXCEPTION USING ERRCODE = 'PJ001';
        EXCEPTION
            WHEN SQLSTATE 'PJ001' THEN NULL;
            WHEN undefined_table THEN NULL;
        END;
    END LOOP;
    RETURN NEXT;
END $$;

-- The next batch of a selection in history: the smallest ids above `after`.
CREATE FUNCTION pgjobs.select_ended(
    wanted_statuses text[], wanted_queue text, wanted_tasks text[], after bigint, until bigint, most bigint
) RETURNS SETOF bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_sort = off SET jit = off AS $$
DECLARE
    days text[] := ARRAY (SELECT d FROM pgjobs.history_partitions() AS d);
    looked integer := 0;
    found bigint[] := '{}';
    here bigint[];
BEGIN
    WHILE looked < cardinality(days) LOOP
        BEGIN
            LOOP
                looked := looked + 1;
                EXECUTE format('
                    SELECT array_agg(l.id)
                    FROM (SELECT h.id FROM pgjobs.%I AS h
                          WHERE h.id > $1 AND h.id <= $2 AND h.status = ANY ($3)
                            AND ($4 IS NULL OR h.queue = $4) AND ($5 IS NULL OR h.task LIKE ANY ($5))
                          ORDER BY h.id LIMIT $6) AS l', days[looked])
                INTO here USING after, coalesce(found[most], until), wanted_statuses, wanted_queue, wanted_tasks, most;
                IF here IS NOT NULL THEN
                    found := ARRAY (SELECT f FROM unnest(found || here) AS f ORDER BY f LIMIT most);
                END IF;
                EXIT WHEN looked >= cardinality(days) OR looked % 16 = 0;
            END LOOP;
            RAISE EXCEPTION USING ERRCODE = 'PJ001';
        EXCEPTION
            WHEN SQLSTATE 'PJ001' THEN NULL;
            WHEN undefined_table THEN NULL;
        END;
    END LOOP;
    RETURN QUERY SELECT unnest(found);
END $$;

GRANT EXECUTE ON FUNCTION pgjobs.list_ended, pgjobs.count_ended, pgjobs.select_ended TO PUBLIC;
