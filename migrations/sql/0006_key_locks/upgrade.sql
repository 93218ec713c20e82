-- What jobs share that only one claim at a time may look at and change: a limit, a sequence, a breaker that lets probes
-- through, the limit of a queue. A claim locks the rows of the keys that it needs, skips those that another one has,
-- and changes none: so there is one version of each row, however often it is locked. A row is made when a key is first
-- needed, and deleted when it was not for a while.
CREATE TABLE pgjobs.key_locks (
    kind text CHECK (kind IN ('limit', 'sequence', 'breaker', 'queue')),
    name text COLLATE "C",
    PRIMARY KEY (kind, name)
);

-- A role that may change buckets is one that claims jobs.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT a.privilege_type AS privilege,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
        FROM pg_catalog.pg_class AS c CROSS JOIN pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid = 'pgjobs.buckets'::regclass AND a.grantee <> c.relowner
          AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    LOOP
        EXECUTE format('GRANT %s ON pgjobs.key_locks TO %s', given.privilege, given.role);
    END LOOP;
END $$;

-- What the limit of a key leaves: slots and tokens. NULL: as many as there are; no row: no limit. Part of statements.
CREATE FUNCTION pgjobs.room_of_limit(key text) RETURNS TABLE (slots bigint, tokens double precision)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.concurrency - (
               SELECT count(*)
               FROM (SELECT FROM pgjobs.jobs_live AS v
                     WHERE v.limit_key = room_of_limit.key AND v.status = 'running'
                     LIMIT m.concurrency) AS running
           ) AS slots,
           pgjobs.bucket_tokens(t.tokens, t.at, m.rate, m.period, m.burst) AS tokens
    FROM pgjobs.limits AS m
    LEFT JOIN pgjobs.buckets AS t ON t.kind = 'limit' AND t.name = room_of_limit.key
    WHERE m.name = coalesce((SELECT e.name FROM pgjobs.limits AS e WHERE e.name = room_of_limit.key),
                            pgjobs.pattern_of(room_of_limit.key));
END;

-- What a breaker lets through: nothing while it is open, then a few probes at a time until it is closed; no row: all.
-- Jobs that started before it opened are not probes, and a probe that takes longer than a cooldown does not hold up
-- others. Part of statements.
CREATE FUNCTION pgjobs.room_of_breaker(breaker text) RETURNS TABLE (probes bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN k.until > now() THEN 0
                ELSE k.probes - (SELECT count(*)
                                 FROM (SELECT FROM pgjobs.jobs_live AS v
                                       WHERE v.breaker = room_of_breaker.breaker AND v.status = 'running'
                                         AND v.started_at >= greatest(k.until, now() - k.cooldown)
                                       LIMIT k.probes) AS probing)
           END AS probes
    FROM pgjobs.breakers AS k
    WHERE k.name = room_of_breaker.breaker AND k.state <> 'closed';
END;

-- Claims of the version before look at turns under a lock that these do not take. They called this function: now they
-- fail, and start no such job.
ALTER FUNCTION pgjobs.last_lane() RENAME TO end_of_lanes;
