-- The columns of jobs are checked, because a row that a statement chokes on fails its whole batch, again and again. So
-- no such row gets in, not even by hand. No number may overflow when it is counted up, and no time may be one that
-- Python does not have (infinity; NaN is above all numbers). Workers look for jobs from 1970 on. `errors` is not
-- checked: every claim would have to read all of them, so the statements that add an error look for themselves. The
-- types check, because a CHECK constraint is parsed and planned again by every statement, one of a domain once by every
-- connection. Ten CHECK constraints were half of what an INSERT of one row cost the server: 42 microseconds of CPU with
-- them, 24 with domains, 22 with nothing checked.
CREATE DOMAIN pgjobs.job_run_at AS timestamptz CHECK (VALUE >= '1970-01-01 00:00+00' AND VALUE < '9999-01-01 00:00+00');

CREATE DOMAIN pgjobs.job_claims AS integer CHECK (VALUE BETWEEN 0 AND 2000000000);

CREATE DOMAIN pgjobs.job_attempt AS integer CHECK (VALUE BETWEEN 0 AND 1000000000);

CREATE DOMAIN pgjobs.job_max_attempts AS integer CHECK (VALUE BETWEEN 1 AND 1000000000);

CREATE DOMAIN pgjobs.job_prior_attempts AS integer CHECK (VALUE BETWEEN 0 AND 1000000000);

CREATE DOMAIN pgjobs.job_timeout AS real CHECK (VALUE > 0 AND VALUE <= 316224000);

CREATE DOMAIN pgjobs.job_priority AS smallint CHECK (VALUE BETWEEN 0 AND 9);

CREATE DOMAIN pgjobs.job_queue AS text CHECK (VALUE <> '' AND length(VALUE) <= 100);

CREATE DOMAIN pgjobs.job_executor AS text CHECK (VALUE IN ('thread', 'async', 'process'));

CREATE DOMAIN pgjobs.job_meta AS jsonb
    CHECK (jsonb_typeof(VALUE) = 'object' AND octet_length(VALUE::text) <= 4096);

CREATE SEQUENCE pgjobs.jobs_id_seq AS bigint;

-- Wide columns first, so that no padding is stored. A NULL takes one bit, and what starts at `expires_at` is NULL for
-- every job that uses none of it. Keys are compared byte by byte, as Python does it.
CREATE TABLE pgjobs.jobs (
    id             bigint                  NOT NULL DEFAULT nextval('pgjobs.jobs_id_seq'),
    run_at         pgjobs.job_run_at       NOT NULL DEFAULT statement_timestamp(),
    enqueued_at    timestamptz             NOT NULL DEFAULT statement_timestamp(),
    started_at     timestamptz,
    finished_at    timestamptz,
    worker_id      bigint,
    claims         pgjobs.job_claims       NOT NULL DEFAULT 0,
    attempt        pgjobs.job_attempt      NOT NULL DEFAULT 0,
    max_attempts   pgjobs.job_max_attempts NOT NULL DEFAULT 5,
    prior_attempts pgjobs.job_prior_attempts,
    timeout        pgjobs.job_timeout,
    priority       pgjobs.job_priority     NOT NULL DEFAULT 5,
    isolate        boolean,
    status         text                    NOT NULL DEFAULT 'queued',
    queue          pgjobs.job_queue        NOT NULL DEFAULT 'default',
    task           text                    NOT NULL,
    executor       pgjobs.job_executor,
    summary        text,
    error          text,
    error_kind     text,                                -- of the last error: see ErrorKind in jobs/outcome.py
    signature      bytea,
    payload        bytea                   NOT NULL,
    errors         jsonb,
    meta           pgjobs.job_meta,                     -- what the caller sends along: trace context, user, batch
    expires_at     timestamptz,       -- not worth running after it
    lane           text COLLATE "C",  -- tenant, limit_key, sequence and breaker; NULL: it is never held up
    limit_key      text COLLATE "C",  -- a name in `limits`, or one that is matched by a pattern there
    cost           real,              -- tokens that it takes from the limit's rate; NULL: 1
    sequence       text COLLATE "C",  -- its jobs run one after another
    on_failure     text,              -- what a dead letter does to its sequence: block, skip or end
    breaker        text COLLATE "C",  -- a name in `breakers`
    held           text,              -- why a waiting job is not even looked at; see jobs_waiting_held_check
    needs          integer,           -- of a waiting job: number of others that have to end before
    dependents     boolean,           -- others wait for this one
    counted_queue  text COLLATE "C",  -- of a running job: the queue whose limit counts it
    -- The request to cancel stands in the job's own row, so that it is met by whatever settles the job.
    cancel_reason  text,
    cancel_force   boolean
) PARTITION BY LIST (status);

ALTER SEQUENCE pgjobs.jobs_id_seq OWNED BY pgjobs.jobs.id;

-- The same columns in the same order, and last, when the job died.
CREATE TABLE pgjobs.dead_jobs (
    LIKE pgjobs.jobs,
    died_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);

-- How long things are kept: one row, the same for all workers. NULL is forever.
CREATE TABLE pgjobs.retention (
    history_days     integer DEFAULT 7 CHECK (history_days BETWEEN 1 AND 36500),
    dead_letter_days integer CHECK (dead_letter_days BETWEEN 1 AND 36500),
    applied_at       timestamptz
);

-- What a worker says of itself is written once, when it registers.
CREATE TABLE pgjobs.workers (
    id           bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    host         text        NOT NULL,
    pid          integer     NOT NULL,
    queues       jsonb       NOT NULL,
    version      text        NOT NULL,
    state        text        NOT NULL DEFAULT 'running',
    started_at   timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    rescue_after real,     -- seconds of silence after which its supervisor considers another worker dead
    signs        boolean,  -- it has a signing key
    pooled       boolean,  -- a connection pooler is between it and PostgreSQL
    clock_ahead  real      -- seconds by which its machine's clock was ahead of PostgreSQL's
) WITH (fillfactor = 50);

-- From `concurrency` on: the limit of the queue, see `limits`.
CREATE TABLE pgjobs.queues (
    name           text PRIMARY KEY CHECK (name <> '' AND length(name) <= 100),
    paused         boolean     NOT NULL DEFAULT false,
    paused_at      timestamptz,
    doorbell_until timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    keep_completed boolean     NOT NULL DEFAULT true,
    concurrency    integer CHECK (concurrency >= 0),
    rate           double precision CHECK (rate > 0 AND rate < 'infinity'),
    period         interval CHECK (period > interval '0'),
    burst          double precision CHECK (burst >= 1 AND burst < 'infinity'),
    aging          interval CHECK (aging > interval '0'),
    declared       jsonb,
    CONSTRAINT queues_period_with_rate CHECK ((rate IS NULL) = (period IS NULL))
) WITH (fillfactor = 50);

-- Until when the bell of any queue is armed, in seconds since 1970: see `open_doorbell` in functions.sql.
CREATE SEQUENCE pgjobs.doorbell MINVALUE 0;

GRANT SELECT ON SEQUENCE pgjobs.doorbell TO PUBLIC;

-- `declared`: [concurrency, rate, seconds of the period, burst] as the code wrote them last, so that a later change by
-- an operator can be told from it; NULL: the code never did.
CREATE TABLE pgjobs.limits (
    name        text COLLATE "C" PRIMARY KEY CHECK (name <> '' AND length(name) <= 100),
    concurrency integer CHECK (concurrency >= 0),
    rate        double precision CHECK (rate > 0 AND rate < 'infinity'),
    period      interval CHECK (period > interval '0'),
    burst       double precision CHECK (burst >= 1 AND burst < 'infinity'),
    set_by      text        NOT NULL DEFAULT 'operator' CHECK (set_by IN ('code', 'operator')),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    declared    jsonb,
    CHECK ((rate IS NULL) = (period IS NULL))
);

-- How many turns a tenant of `fair_by` gets for one of the others.
CREATE TABLE pgjobs.tenants (
    name       text COLLATE "C" PRIMARY KEY CHECK (length(name) <= 100),
    weight     double precision NOT NULL CHECK (weight > 0 AND weight <= 1000),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What is left of a rate, as of `at`. Without a row: all of it. `kind`: limit (the name is a limit key) or queue.
CREATE TABLE pgjobs.buckets (
    kind   text CHECK (kind IN ('limit', 'queue')),
    name   text COLLATE "C",
    tokens double precision NOT NULL,
    at     timestamptz      NOT NULL,
    PRIMARY KEY (kind, name)
) WITH (fillfactor = 50);

-- `state` may still be open when `until` is over: then probes are let through, as when it is half-open.
-- `probes`, and `failures` to `cooldown`, are the settings, from the code.
CREATE TABLE pgjobs.breakers (
    name       text COLLATE "C" PRIMARY KEY CHECK (name <> '' AND length(name) <= 100),
    state      text             NOT NULL DEFAULT 'closed' CHECK (state IN ('closed', 'open', 'half_open')),
    until      timestamptz,
    probes     integer          NOT NULL DEFAULT 3 CHECK (probes > 0),
    forced     boolean          NOT NULL DEFAULT false,  -- by an operator: calls do not change it
    failures   double precision NOT NULL DEFAULT 0.5 CHECK (failures > 0 AND failures <= 1),
    period     interval         NOT NULL DEFAULT '30 s' CHECK (period > interval '0'),
    min_calls  integer          NOT NULL DEFAULT 20 CHECK (min_calls > 0),
    cooldown   interval         NOT NULL DEFAULT '60 s' CHECK (cooldown > interval '0'),
    passed     integer          NOT NULL DEFAULT 0 CHECK (passed >= 0),  -- probes that have succeeded
    -- The window: [began (seconds since 1970), succeeded, failed] for each part of it.
    calls      jsonb            NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(calls) = 'array'),
    streak     integer          NOT NULL DEFAULT 0 CHECK (streak >= 0),  -- failures since the last success
    changed_at timestamptz,
    changed_by text,
    reason     text,
    created_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT breakers_until_check CHECK (state = 'closed' OR until IS NOT NULL)
) WITH (fillfactor = 50);

-- `job_id` waits until `needs_id` has ended. `settled`: the row of `needs_id` knows of it.
CREATE TABLE pgjobs.dependencies (
    needs_id   bigint  NOT NULL,
    job_id     bigint  NOT NULL,
    on_failure text    NOT NULL DEFAULT 'wait' CHECK (on_failure IN ('wait', 'run', 'cancel')),
    settled    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (needs_id, job_id)
);

-- One row for each key that was used of late, whichever job has it. Looked at when a job is enqueued, and never else.
CREATE TABLE pgjobs.unique_keys (
    key           text PRIMARY KEY CHECK (key <> '' AND length(key) <= 100),
    job_id        bigint,
    until_started boolean NOT NULL DEFAULT false,
    held_until    timestamptz
) WITH (fillfactor = 70);

-- What is to be enqueued when. From `queue` on it is the job that a firing inserts. `app`: whose code declares it;
-- NULL: it is an operator's. Times are those for which Python has a datetime, in every time zone.
CREATE TABLE pgjobs.schedules (
    name         text PRIMARY KEY CHECK (name <> '' AND length(name) <= 200),
    app          text CHECK (app <> '' AND length(app) <= 100),
    cron         text        NOT NULL CHECK (length(cron) <= 200),
    tz           text        NOT NULL DEFAULT 'UTC' CHECK (length(tz) <= 100),
    missed       text        NOT NULL DEFAULT 'once' CHECK (missed IN ('skip', 'once', 'all')),
    overlap      text        NOT NULL DEFAULT 'allow' CHECK (overlap IN ('allow', 'skip')),
    paused_at    timestamptz,
    retired_at   timestamptz,
    next_at      timestamptz CHECK (next_at >= '1970-01-01 00:00+00' AND next_at < '9999-01-01 00:00+00'),
    last_at      timestamptz CHECK (last_at >= '1970-01-01 00:00+00' AND last_at < '9999-01-01 00:00+00'),
    last_job_id  bigint,
    error        text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    digest       bytea,
    columns      jsonb       NOT NULL,  -- of its jobs: EnqueueColumns without run_at and delay
    summary      text,
    options      jsonb       NOT NULL DEFAULT '{}',
    signature    bytea,
    payload      bytea       NOT NULL,
    -- So that it can be listed, whatever an operator writes.
    CONSTRAINT schedules_columns_check CHECK (
        (jsonb_typeof(columns -> 'queue') = 'string') IS TRUE AND (jsonb_typeof(columns -> 'task') = 'string') IS TRUE
        AND (columns -> 'priority' BETWEEN '-32768' AND '32767') IS TRUE)
) WITH (fillfactor = 70);

-- A row for each supervisor that imports code, for as long as what it has declared may count.
CREATE TABLE pgjobs.schedule_owners (
    id         uuid PRIMARY KEY,
    role       text        NOT NULL,
    names      text[]      NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz
);

-- `patterns`: what `task` stands for, as LIKE takes it.
CREATE TABLE pgjobs.paused_tasks (
    task      text PRIMARY KEY CHECK (task <> '' AND length(task) <= 300),
    patterns  text[]      NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now()
);

-- One row: whether anything is claimed at all.
CREATE TABLE pgjobs.switch (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    paused    boolean NOT NULL DEFAULT false,
    paused_at timestamptz
);
