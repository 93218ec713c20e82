-- Pipelines, as code declares them. `app`: whose code that is. `at_most`: how many items may wait in each stage behind
-- the first. `paused_at`: since when the first stage starts none, while those behind it do.
CREATE TABLE pgjobs.pipelines (
    name       text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9_.:-]{1,60}$'),
    app        text        NOT NULL CHECK (app <> '' AND length(app) <= 100),
    at_most    integer     NOT NULL CHECK (at_most BETWEEN 1 AND 10000000),
    paused_at  timestamptz,
    retired_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    digest     bytea
) WITH (fillfactor = 70);

-- Their stages. `key`: what lanes call it. `next`: the key of the one behind it. `place`: from 1 on.
CREATE TABLE pgjobs.pipeline_stages (
    key      text COLLATE "C" PRIMARY KEY CHECK (key <> '' AND length(key) <= 130),
    pipeline text COLLATE "C" NOT NULL,
    place    integer NOT NULL CHECK (place > 0),
    name     text    NOT NULL CHECK (name <> '' AND length(name) <= 60),
    task     text    NOT NULL,
    queue    text    NOT NULL CHECK (queue <> '' AND length(queue) <= 100),
    next     text COLLATE "C"
) WITH (fillfactor = 70);

CREATE INDEX pipeline_stages_pipeline ON pgjobs.pipeline_stages (pipeline, place);

-- A role that works or reads may do so here. Buckets are changed by those alone.
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
        EXECUTE format('GRANT %s ON pgjobs.pipelines, pgjobs.pipeline_stages TO %s', given.privilege, given.role);
    END LOOP;
END $$;
