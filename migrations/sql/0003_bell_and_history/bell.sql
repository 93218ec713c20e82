-- The doorbell saves a second, and is never a reason to fail: not the NOTIFY queue, which any session can fill that
-- listens and is idle in a transaction, nor rights, nor a function that is gone. Then jobs are found by polling.
--
-- NOTIFY fails at COMMIT when its queue is full, where nothing can be caught. So nothing rings from half of
-- it on. PostgreSQL warns in its log from there on, too.
CREATE FUNCTION pgjobs.notify_queue_has_room() RETURNS boolean LANGUAGE sql VOLATILE
RETURN pg_catalog.pg_notification_queue_usage() OPERATOR(pg_catalog.<) 0.5::pg_catalog.float8;

-- NOTIFY on a channel, for statements. It takes no error for one.
CREATE FUNCTION pgjobs.ring(channel text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF pgjobs.notify_queue_has_room() THEN
        PERFORM pg_catalog.pg_notify(channel, ''::pg_catalog.text);
    END IF;
EXCEPTION WHEN others THEN
    NULL;
END $$;

-- Whether a producer waits. With the rights of the owner, because who may only insert jobs need not read the queues.
CREATE FUNCTION pgjobs.bell_is_armed(queue text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM pgjobs.queues AS q
                   WHERE q.name = bell_is_armed.queue AND q.doorbell_until > clock_timestamp())
$$;

-- For what is due in a moment too: a listener then knows when to look. The block around the look costs
-- a subtransaction, once in a transaction. It looks by itself, with the rights of the owner as bell_is_armed has them:
-- to call a function with a search path of its own for each transaction is expensive.
CREATE OR REPLACE FUNCTION pgjobs.is_to_ring(queue text, run_at timestamptz, status text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF pg_catalog.current_setting('doorbell.asked_in_' OPERATOR(pg_catalog.||) 'pgjobs', true)
               OPERATOR(pg_catalog.=) queue
            OR status OPERATOR(pg_catalog.=) 'running'
            OR run_at OPERATOR(pg_catalog.>)
               (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '2 s') THEN
        RETURN false;
    END IF;
    PERFORM pg_catalog.set_config('doorbell.asked_in_' OPERATOR(pg_catalog.||) 'pgjobs', queue, true);
    BEGIN
        RETURN EXISTS (SELECT FROM pgjobs.queues AS q
                       WHERE q.name OPERATOR(pg_catalog.=) is_to_ring.queue
                         AND q.doorbell_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp());
    EXCEPTION WHEN others THEN
        RETURN false;
    END;
END $$;

-- A transaction that has rung cannot be prepared (two-phase commit), and would keep the lock of the bell until it is
-- committed: so one that is being prepared does not ring.
CREATE OR REPLACE FUNCTION pgjobs.ring_doorbell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    channel pg_catalog.text;
BEGIN
    IF pg_catalog.left(pg_catalog.current_query(), 100)
           OPERATOR(pg_catalog.~*) '^[[:space:]]*prepare[[:space:]]+transaction' THEN
        RETURN NULL;
    END IF;
    channel := pgjobs.doorbell_channel(NEW.queue);
    IF pgjobs.notify_queue_has_room()
            AND pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(channel, 0::bigint)) THEN
        PERFORM pg_catalog.pg_notify(channel, ''::pg_catalog.text);
    END IF;
    RETURN NULL;
EXCEPTION WHEN others THEN
    RETURN NULL;
END $$;

-- All who enqueue call these, whatever the default of the database is for new functions.
GRANT EXECUTE ON FUNCTION pgjobs.is_to_ring, pgjobs.bell_is_armed, pgjobs.doorbell_channel,
    pgjobs.notify_queue_has_room, pgjobs.ring TO PUBLIC;

GRANT SELECT ON SEQUENCE pgjobs.doorbell TO PUBLIC;
