-- Whether the bell may have to ring for a row: what costs no look at a table, and once for a queue in a transaction.
-- For what is due in a moment too: a listener then knows when to look.
CREATE OR REPLACE FUNCTION pgjobs.is_to_ring(queue text, run_at timestamptz, status text) RETURNS boolean
    LANGUAGE plpgsql SECURITY INVOKER AS $$
BEGIN
    IF pg_catalog.current_setting('doorbell.asked_in_' OPERATOR(pg_catalog.||) 'pgjobs', true)
               OPERATOR(pg_catalog.=) queue
            OR status OPERATOR(pg_catalog.=) 'running'
            OR run_at OPERATOR(pg_catalog.>)
               (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '2 s') THEN
        RETURN false;
    END IF;
    PERFORM pg_catalog.set_config('doorbell.asked_in_' OPERATOR(pg_catalog.||) 'pgjobs', queue, true);
    RETURN true;
END $$;

-- When the transaction is committed: ring if a producer waits. It looks with the rights of the owner, because who may
-- only insert jobs need not read the queues.
-- One block catches all errors, because each block costs a subtransaction. No function of pgjobs is called: it would be
-- planned anew in each transaction, and might be gone. So the channel is spelled out as in doorbell_channel, and the
-- look at the NOTIFY queue as in notify_queue_has_room.
-- Only what is long enough is compared with PREPARE TRANSACTION; nearly always it is COMMIT.
CREATE OR REPLACE FUNCTION pgjobs.ring_doorbell() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    channel pg_catalog.text;
BEGIN
    IF TG_TABLE_SCHEMA OPERATOR(pg_catalog.<>) 'pgjobs'::pg_catalog.name THEN
        RETURN NULL;  -- the rights of the owner are not for the table of anybody else
    ELSIF pg_catalog.octet_length(pg_catalog.current_query()) OPERATOR(pg_catalog.>) 19
            AND pg_catalog.left(pg_catalog.current_query(), 100)
                OPERATOR(pg_catalog.~*) '^[[:space:]]*prepare[[:space:]]+transaction' THEN
        RETURN NULL;
    ELSIF NOT EXISTS (SELECT FROM pgjobs.queues AS q
                      WHERE q.name OPERATOR(pg_catalog.=) NEW.queue
                        AND q.doorbell_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()) THEN
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

REVOKE EXECUTE ON FUNCTION pgjobs.ring_doorbell() FROM PUBLIC;

DROP FUNCTION pgjobs.bell_is_armed;
