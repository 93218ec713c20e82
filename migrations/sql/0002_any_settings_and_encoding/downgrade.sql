ALTER TABLE pgjobs.jobs_waiting ENABLE TRIGGER jobs_ring_doorbell;

ALTER TABLE pgjobs.jobs_live ENABLE TRIGGER jobs_ring_doorbell;

ALTER TABLE pgjobs.queues ENABLE TRIGGER queues_open_doorbell;

ALTER FUNCTION pgjobs.enqueue RESET standard_conforming_strings;

ALTER FUNCTION pgjobs.create_history_partition RESET "DateStyle" RESET "TimeZone";

DROP FUNCTION pgjobs.last_lane;

CREATE OR REPLACE FUNCTION pgjobs.doorbell_channel(queue text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT pg_catalog.left('pgjobs', 20) OPERATOR(pg_catalog.||) ':' OPERATOR(pg_catalog.||) pg_catalog.md5(queue)
$$;
