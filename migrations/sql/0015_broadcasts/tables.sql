-- What every live worker process, or one of each host, runs once. `target`: workers, hosts or queue:NAME. When the
-- transaction is committed, a trigger writes `committed_at`, and makes a run for each that is live then; a worker that
-- registers until `closes_at`, `within` seconds later, gets one as well.
CREATE TABLE pgjobs.broadcasts (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target       text        NOT NULL CHECK (target IN ('workers', 'hosts') OR target ~ '^queue:.{1,100}$'),
    within       double precision NOT NULL CHECK (within >= 0 AND within <= 316224000),
    created_at   timestamptz NOT NULL DEFAULT now(),
    committed_at timestamptz,
    closes_at    timestamptz,
    task         text        NOT NULL,
    summary      text,
    timeout      pgjobs.job_timeout,
    signature    bytea,
    payload      bytea       NOT NULL
) WITH (fillfactor = 90);

-- What came of it. `unit`: the id of a worker, or a host. `worker_id`: the process that runs it; of a host, NULL until
-- one of its processes does. It is run once at most: what was running when its process died is gone.
CREATE TABLE pgjobs.broadcast_runs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broadcast_id bigint      NOT NULL,
    unit         text        NOT NULL,
    host         text        NOT NULL,
    worker_id    bigint,
    pid          integer,
    state        text        NOT NULL DEFAULT 'queued'
                 CHECK (state IN ('queued', 'running', 'completed', 'failed', 'gone')),
    started_at   timestamptz,
    finished_at  timestamptz,
    error        text,
    traceback    text,
    is_json      boolean,
    signature    bytea,
    value        bytea,
    UNIQUE (broadcast_id, unit)
) WITH (fillfactor = 70);

CREATE INDEX broadcasts_closes_at ON pgjobs.broadcasts (closes_at);

CREATE INDEX broadcast_runs_unfinished ON pgjobs.broadcast_runs (host, worker_id)
    WHERE state IN ('queued', 'running');

-- Roles of the version before: a role that works or reads may do so here, and one that may publish may broadcast.
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
        EXECUTE format('GRANT %s ON pgjobs.broadcasts, pgjobs.broadcast_runs TO %s', given.privilege, given.role);
        IF given.privilege IN ('SELECT', 'INSERT') THEN
            EXECUTE format('GRANT %s ON SEQUENCE pgjobs.broadcasts_id_seq, pgjobs.broadcast_runs_id_seq TO %s',
                           CASE given.privilege WHEN 'INSERT' THEN 'USAGE' ELSE 'SELECT' END, given.role);
        END IF;
    END LOOP;
    FOR given IN
        SELECT a.grantee::regrole::text AS role
        FROM pg_catalog.pg_proc AS f CROSS JOIN pg_catalog.aclexplode(f.proacl) AS a
        WHERE f.oid = 'pgjobs.publish_event'::regproc AND f.prosecdef AND a.grantee NOT IN (0, f.proowner)
    LOOP
        EXECUTE format('GRANT INSERT (target, within, task, summary, timeout, signature, payload), SELECT (id) '
                       'ON pgjobs.broadcasts TO %s', given.role);
    END LOOP;
END $$;
