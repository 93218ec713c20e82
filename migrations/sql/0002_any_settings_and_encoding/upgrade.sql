-- The bell of a queue, for any schema and any encoding of the database, as in db/installation.py and
-- db/statements.py. Two schemas that begin alike have bells of their own; names of up to 20 characters stay as they
-- were. The hash is that of the name in UTF-8, as a listener computes it; a database in SQL_ASCII knows no characters.
CREATE OR REPLACE FUNCTION pgjobs.doorbell_channel(queue text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN pg_catalog.length('pgjobs'::pg_catalog.text) OPERATOR(pg_catalog.<=) 20 THEN 'pgjobs'
                ELSE pg_catalog.left('pgjobs', 11) OPERATOR(pg_catalog.||) '_'
                     OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.md5('pgjobs'::pg_catalog.text), 8) END
           OPERATOR(pg_catalog.||) ':' OPERATOR(pg_catalog.||)
           CASE WHEN pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.=) 'SQL_ASCII'::pg_catalog.name
                THEN pg_catalog.md5(queue)
                ELSE pg_catalog.md5(pg_catalog.convert_to(queue, 'UTF8'::pg_catalog.name)) END
$$;

-- A text behind all lanes, which are compared byte by byte and have 420 characters at most: more than that of the
-- highest character that the database's encoding has.
CREATE FUNCTION pgjobs.last_lane() RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    encoding CONSTANT name := getdatabaseencoding();
    last text;
BEGIN
    IF encoding = 'UTF8' THEN
        last := chr(1114111);
    ELSIF pg_encoding_max_length(pg_char_to_encoding(encoding)) = 1 THEN
        last := chr(255);
    ELSIF encoding = 'MULE_INTERNAL' THEN
        last := convert_from(decode('9dfefefe', 'hex'), encoding);
    ELSE
        last := convert_from(decode('fefe', 'hex'), encoding);
    END IF;
    RETURN repeat(last, 421);
END $$;

GRANT EXECUTE ON FUNCTION pgjobs.doorbell_channel, pgjobs.last_lane TO PUBLIC;

-- Functions run with the settings of their caller. This one writes timestamps into statements, and the text of
-- one means another time with other settings, or none.
ALTER FUNCTION pgjobs.create_history_partition SET "DateStyle" = 'ISO' SET "TimeZone" = 'UTC';

-- It has regular expressions with backslashes.
ALTER FUNCTION pgjobs.enqueue SET standard_conforming_strings = on;

-- Jobs ring, and producers arm their bell, in sessions that skip triggers as well (session_replication_role = replica).
ALTER TABLE pgjobs.queues ENABLE ALWAYS TRIGGER queues_open_doorbell;

ALTER TABLE pgjobs.jobs_live ENABLE ALWAYS TRIGGER jobs_ring_doorbell;

ALTER TABLE pgjobs.jobs_waiting ENABLE ALWAYS TRIGGER jobs_ring_doorbell;
