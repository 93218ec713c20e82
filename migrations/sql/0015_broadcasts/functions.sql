-- Make the runs that are missing: of a broadcast (NULL: of all that were open a minute ago), for a worker (NULL: for
-- all). In their order, because others may make the same at once. Returns how many.
CREATE FUNCTION pgjobs.spread_broadcasts(broadcast bigint, worker bigint) RETURNS bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH made AS (
        INSERT INTO pgjobs.broadcast_runs (broadcast_id, unit, host, worker_id, pid)
        SELECT b.id, CASE b.target WHEN 'hosts' THEN w.host ELSE w.id::text END, w.host,
               CASE WHEN b.target <> 'hosts' THEN w.id END, CASE WHEN b.target <> 'hosts' THEN w.pid END
        FROM pgjobs.broadcasts AS b
        JOIN pgjobs.workers AS w
        ON w.started_at <= b.closes_at AND (b.target IN ('workers', 'hosts') OR w.queues ? substr(b.target, 7))
        WHERE b.closes_at > now() - interval '1 minute'
          AND (broadcast IS NULL OR b.id = broadcast) AND (worker IS NULL OR w.id = worker)
        ORDER BY b.id, w.id
        ON CONFLICT (broadcast_id, unit) DO NOTHING
        RETURNING 1
    )
    SELECT count(*) FROM made
$$;

-- When a broadcast is committed. With the rights of the owner, because a role that may broadcast need not read workers. A transaction that
-- is being prepared must not ring; its workers look with their next heartbeat.
CREATE FUNCTION pgjobs.commit_broadcast() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    UPDATE pgjobs.broadcasts AS b
    SET committed_at = moment, closes_at = moment + b.within * interval '1 second'
    WHERE b.id = NEW.id;
    PERFORM pgjobs.spread_broadcasts(NEW.id, NULL);
    IF coalesce(current_query(), '') !~* '^[[:space:]]*prepare[[:space:]]+transaction' THEN
        PERFORM pgjobs.ring(CASE WHEN length('pgjobs') <= 20 THEN 'pgjobs'
                                 ELSE left('pgjobs', 11) || '_' || left(md5('pgjobs'), 8) END || ':' || 'broadcasts');
    END IF;
    RETURN NULL;
END $$;

-- When a worker registers: it runs what is still open.
CREATE FUNCTION pgjobs.join_broadcasts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pgjobs.spread_broadcasts(NULL, NEW.id);
    RETURN NULL;
END $$;

-- When workers are removed: what they have not finished is gone.
CREATE FUNCTION pgjobs.leave_broadcasts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE pgjobs.broadcast_runs AS r
    SET state = 'gone', finished_at = now(),
        error = CASE r.state WHEN 'running' THEN 'its worker process ended while it ran'
                             ELSE 'its worker process ended before it began' END
    FROM removed AS w
    WHERE r.state IN ('queued', 'running') AND r.host = w.host AND r.worker_id = w.id;
    RETURN NULL;
END $$;

REVOKE EXECUTE ON FUNCTION pgjobs.commit_broadcast, pgjobs.join_broadcasts, pgjobs.leave_broadcasts FROM PUBLIC;

-- What the triggers cannot see, because it was not committed then: a worker that registered while a broadcast was
-- committed, or left. And hosts that no worker of has come back to in time. Returns how many runs were made, and are
-- gone.
CREATE FUNCTION pgjobs.settle_broadcasts(OUT made bigint, OUT gone bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    made := pgjobs.spread_broadcasts(NULL, NULL);
    UPDATE pgjobs.broadcast_runs AS r
    SET state = 'gone', finished_at = now(),
        error = CASE WHEN r.worker_id IS NULL THEN 'its host had no worker process to run it'
                     WHEN r.state = 'running' THEN 'its worker process ended while it ran'
                     ELSE 'its worker process ended before it began' END
    WHERE r.state IN ('queued', 'running')
      AND NOT EXISTS (SELECT FROM pgjobs.workers AS w
                      WHERE w.host = r.host AND (r.worker_id IS NULL OR w.id = r.worker_id))
      AND (r.worker_id IS NOT NULL
           OR (SELECT b.closes_at FROM pgjobs.broadcasts AS b WHERE b.id = r.broadcast_id) < now());
    GET DIAGNOSTICS gone = ROW_COUNT;
END $$;

CREATE CONSTRAINT TRIGGER broadcasts_commit AFTER INSERT ON pgjobs.broadcasts
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION pgjobs.commit_broadcast();
