-- It calls no function of pgjobs: a call would be planned anew in each transaction that rings, and be gone when the
-- function is. So the channel is spelled out, as in doorbell_channel, and so is the look of notify_queue_has_room.
-- Only what is long enough is compared with PREPARE TRANSACTION; nearly always it is COMMIT.
CREATE OR REPLACE FUNCTION pgjobs.ring_doorbell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    channel pg_catalog.text;
BEGIN
    IF pg_catalog.octet_length(pg_catalog.current_query()) OPERATOR(pg_catalog.>) 19
            AND pg_catalog.left(pg_catalog.current_query(), 100)
                OPERATOR(pg_catalog.~*) '^[[:space:]]*prepare[[:space:]]+transaction' THEN
        RETURN NULL;
    END IF;
    channel := CASE WHEN pg_catalog.length('pgjobs'::pg_catalog.text) OPERATOR(pg_catalog.<=) 20 THEN 'pgjobs'
                    ELSE pg_catalog.left('pgjobs', 11) OPERATOR(pg_catalog.||) '_'
                         OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.md5('pgjobs'::pg_catalog.text), 8) END
               OPERATOR(pg_catalog.||) ':' OPERATOR(pg_catalog.||)
               CASE WHEN pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.=) 'SQL_ASCII'::pg_catalog.name
                    THEN pg_catalog.md5(NEW.queue)
                    ELSE pg_catalog.md5(pg_catalog.convert_to(NEW.queue, 'UTF8'::pg_catalog.name)) END;
    IF pg_catalog.pg_notification_queue_usage() OPERATOR(pg_catalog.<) 0.5::pg_catalog.float8
            AND pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(channel, 0::bigint)) THEN
        PERFORM pg_catalog.pg_notify(channel, ''::pg_catalog.text);
    END IF;
    RETURN NULL;
EXCEPTION WHEN others THEN
    RETURN NULL;
END $$;
