-- A broadcast, in the caller's transaction. When that is committed a trigger makes the runs of all that are live: see
-- migrations/sql/0015_broadcasts/functions.sql.
INSERT INTO pgjobs.broadcasts (target, within, task, summary, timeout, signature, payload)
VALUES (CAST(%(target)s AS text), CAST(%(within)s AS float8), CAST(%(task)s AS text), CAST(%(summary)s AS text),
        CAST(%(timeout)s AS real), CAST(%(signature)s AS bytea), CAST(%(payload)s AS bytea))
RETURNING id
