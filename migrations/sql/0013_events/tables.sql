-- Which topics a pattern matches, as a regular expression for a topic with a dot behind it: `*` is one segment, `#` any
-- number of them. NULL: the pattern has neither, and is a topic. Its twin in Python: flow/topics.py.
CREATE FUNCTION pgjobs.topic_regex(pattern text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN pattern ~ '[*#]' THEN
        '^' || replace(replace(replace(pattern || '.', '.', '\.'), '*', '[^.]+'), '#\.', '([^.]+\.)*') || '$' END;
END;

CREATE FUNCTION pgjobs.topic_matches(pattern text, topic text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT topic = pattern OR coalesce((topic || '.') ~ pgjobs.topic_regex(pattern), false);
END;

COMMENT ON FUNCTION pgjobs.topic_matches
    IS 'Whether a topic matches a pattern: * is one segment, # any number of them, also none.';

-- What is to be enqueued for which events. From `queue` on it is the job of each event; what is NULL is not used. The
-- name is that of its task. `app`: whose code declares it. `drops_since`: events are dropped, until it is resumed.
-- `prefix` and `regex` are what is looked at for each event, the cheap one first.
CREATE TABLE pgjobs.subscriptions (
    name         text PRIMARY KEY CHECK (name <> '' AND length(name) <= 200),
    id           integer     NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
    app          text        NOT NULL CHECK (app <> '' AND length(app) <= 100),
    pattern      text COLLATE "C" NOT NULL CHECK (pattern ~ '^[A-Za-z0-9_:.*#-]{1,200}$'),
    prefix       text COLLATE "C" NOT NULL
                 GENERATED ALWAYS AS (rtrim(split_part(translate(pattern, '#', '*'), '*', 1), '.')) STORED,
    regex        text COLLATE "C" GENERATED ALWAYS AS (pgjobs.topic_regex(pattern)) STORED,
    drops_since  timestamptz,
    retired_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    digest       bytea,
    queue        pgjobs.job_queue        NOT NULL,
    priority     pgjobs.job_priority     NOT NULL,
    max_attempts pgjobs.job_max_attempts NOT NULL,
    timeout      pgjobs.job_timeout,
    executor     pgjobs.job_executor,
    meta         pgjobs.job_meta,
    expires      double precision CHECK (expires > 0 AND expires <= 316224000),  -- seconds
    limit_key    text COLLATE "C" CHECK (limit_key <> '' AND length(limit_key) <= 100),
    fair_by      text COLLATE "C" CHECK (fair_by <> '' AND length(fair_by) <= 100),
    breaker      text COLLATE "C" CHECK (breaker <> '' AND length(breaker) <= 100),
    cost         real CHECK (cost > 0 AND cost <= 1000000),
    on_failure   text NOT NULL DEFAULT 'block' CHECK (on_failure IN ('block', 'skip', 'end')),
    summary      text,   -- what its jobs are called; NULL: they have no summary
    signature    bytea   -- of the pattern, and of all that is signed of a job but its payload
) WITH (fillfactor = 70);

-- Topics that keep their events for a while, so that they can be replayed.
CREATE TABLE pgjobs.topics (
    pattern    text COLLATE "C" PRIMARY KEY CHECK (pattern ~ '^[A-Za-z0-9_:.*#-]{1,200}$'),
    app        text        NOT NULL CHECK (app <> '' AND length(app) <= 100),
    keep       interval    NOT NULL CHECK (keep > interval '0' AND keep <= interval '3660 days'),
    prefix     text COLLATE "C" NOT NULL
               GENERATED ALWAYS AS (rtrim(split_part(translate(pattern, '#', '*'), '*', 1), '.')) STORED,
    regex      text COLLATE "C" GENERATED ALWAYS AS (pgjobs.topic_regex(pattern)) STORED,
    retired_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

CREATE SEQUENCE pgjobs.event_ids AS bigint;

-- The events of such topics. `delivered`: the ids of the subscriptions that have a job for it, so that a replay makes
-- none twice. The days are those on which events expire (UTC), as of results. `body`: see payload/events.py.
CREATE TABLE pgjobs.events (
    id           bigint      NOT NULL,
    published_at timestamptz NOT NULL,
    kept_until   timestamptz NOT NULL,
    topic        text COLLATE "C" NOT NULL,
    sequence     text COLLATE "C",
    delivered    integer[]   NOT NULL DEFAULT '{}',
    signature    bytea,
    body         bytea       NOT NULL
) PARTITION BY RANGE (kept_until);

CREATE INDEX events_id ON pgjobs.events (id);

CREATE INDEX events_published_at ON pgjobs.events (published_at, id);

CREATE TABLE pgjobs.events_default PARTITION OF pgjobs.events DEFAULT;

-- A publication of all tables would refuse every UPDATE and DELETE without it: see create_events_partition.
ALTER TABLE pgjobs.events_default REPLICA IDENTITY FULL;

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
        EXECUTE format('GRANT %s ON pgjobs.subscriptions, pgjobs.topics, pgjobs.events, pgjobs.events_default TO %s',
                       given.privilege, given.role);
        IF given.privilege IN ('SELECT', 'INSERT') THEN
            EXECUTE format('GRANT %s ON SEQUENCE pgjobs.event_ids TO %s',
                           CASE given.privilege WHEN 'INSERT' THEN 'USAGE' ELSE 'SELECT' END, given.role);
        END IF;
    END LOOP;
END $$;
