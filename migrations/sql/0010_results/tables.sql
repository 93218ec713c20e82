-- What jobs returned, for those that keep it. A row is written by the transaction that completes its job. The days are
-- those on which results expire (UTC), so that dropping a day removes nothing that is still kept, however long each
-- result is. Workers make the days ahead; the default partition is the net, and takes what is kept longer than that.
CREATE TABLE pgjobs.results (
    job_id     bigint      NOT NULL,
    kept_until timestamptz NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT now(),
    is_json    boolean     NOT NULL,  -- else a pickle
    signature  bytea,
    value      bytea       NOT NULL
) PARTITION BY RANGE (kept_until);

CREATE INDEX results_job_id ON pgjobs.results (job_id);

CREATE TABLE pgjobs.results_default PARTITION OF pgjobs.results DEFAULT;

-- A publication of all tables would refuse every DELETE without it: see create_results_partition for the days.
ALTER TABLE pgjobs.results_default REPLICA IDENTITY FULL;

-- Until when the bell of results is armed, in seconds since 1970: see the triggers.
CREATE SEQUENCE pgjobs.result_bell MINVALUE 0;

GRANT SELECT ON SEQUENCE pgjobs.result_bell TO PUBLIC;

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
        EXECUTE format('GRANT %s ON pgjobs.results, pgjobs.results_default TO %s', given.privilege, given.role);
    END LOOP;
END $$;
