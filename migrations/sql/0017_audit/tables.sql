-- What was done by hand: by which user, to what, and what came of it. An entry is written before, and ended afterwards.
CREATE TABLE pgjobs.audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    by       text        NOT NULL,
    via      text        NOT NULL,
    action   text        NOT NULL,
    target   jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(target) = 'object'),
    number   bigint,
    outcome  text,
    failed   boolean,
    ended_at timestamptz
);

-- Roles of the version before: a role that reads may do so here, and one that works may write, but delete nothing.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT a.privilege_type AS privilege,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
        FROM pg_catalog.pg_class AS c CROSS JOIN pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid = 'pgjobs.buckets'::regclass AND a.grantee <> c.relowner
          AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE')
    LOOP
        EXECUTE format('GRANT %s ON pgjobs.audit TO %s',
                       CASE given.privilege WHEN 'UPDATE' THEN 'UPDATE (number, outcome, failed, ended_at)'
                                            ELSE given.privilege END, given.role);
        IF given.privilege IN ('SELECT', 'INSERT') THEN
            EXECUTE format('GRANT %s ON SEQUENCE pgjobs.audit_id_seq TO %s',
                           CASE given.privilege WHEN 'INSERT' THEN 'USAGE' ELSE 'SELECT' END, given.role);
        END IF;
    END LOOP;
END $$;
