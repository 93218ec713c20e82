-- A table that is in use, before anything else: the lock is waited for only for a moment, and then tried again, so that
-- claims do not queue up behind it.
DO $$
DECLARE
    before CONSTANT text := current_setting('lock_timeout');
BEGIN
    FOR try IN 1..50 LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '100ms', true);
            LOCK TABLE pgjobs.queues, pgjobs.retention IN ACCESS EXCLUSIVE MODE;
            PERFORM set_config('lock_timeout', before, true);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF try = 50 THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;

-- For how long a job of the queue may be due before it starts: a service level, in seconds. NULL: none was promised.
ALTER TABLE pgjobs.queues ADD COLUMN sla double precision CHECK (sla > 0 AND sla <= 31622400);

-- Minutes are small, and of use for some days.
ALTER TABLE pgjobs.retention
    ADD COLUMN minute_days integer NOT NULL DEFAULT 7 CHECK (minute_days BETWEEN 1 AND 36500);

-- What happened in each minute (its start): in a queue (task ''), in a task of it, and in all queues (queue '', task
-- ''). Supervisors add what their processes have counted; one of them, who wrote `sampled`, looks at the queues at the
-- end of the minute. A queue that has no row of a sampled minute was idle. `enqueued`: ids given to jobs so far.
-- `latency`: of the oldest due job, in seconds. `slots`, `busy`: in the mean of the minute. `runs`, `waits`: of jobs
-- that ended, or a sample of them, by how long they ran and waited; the bounds are BUCKETS of telemetry/metrics.py.
CREATE TABLE pgjobs.queue_minutes (
    minute       timestamptz      NOT NULL,
    queue        text COLLATE "C" NOT NULL,
    task         text COLLATE "C" NOT NULL DEFAULT '',
    sampled      boolean          NOT NULL DEFAULT false,
    enqueued     bigint,
    latency      real,
    due          integer,
    later        integer,
    waiting      integer,
    running      integer,
    completed    bigint           NOT NULL DEFAULT 0,
    failed       bigint           NOT NULL DEFAULT 0,
    cancelled    bigint           NOT NULL DEFAULT 0,
    retried      bigint           NOT NULL DEFAULT 0,
    slots        real             NOT NULL DEFAULT 0,
    busy         real             NOT NULL DEFAULT 0,
    run_seconds  double precision NOT NULL DEFAULT 0,
    wait_seconds double precision NOT NULL DEFAULT 0,
    runs         integer[]        NOT NULL DEFAULT '{}',
    waits        integer[]        NOT NULL DEFAULT '{}',
    PRIMARY KEY (queue, task, minute)
) PARTITION BY RANGE (minute);

CREATE TABLE pgjobs.queue_minutes_default PARTITION OF pgjobs.queue_minutes DEFAULT;

-- How many jobs have ended, and how many attempts were repeated, since this table was made; but for those that a
-- supervisor serves to Prometheus itself. `pgjobs metrics` serves these, so that each job is in one of the two.
CREATE TABLE pgjobs.finished_totals (
    queue     text COLLATE "C" NOT NULL,
    task      text COLLATE "C" NOT NULL,
    completed bigint           NOT NULL DEFAULT 0,
    failed    bigint           NOT NULL DEFAULT 0,
    cancelled bigint           NOT NULL DEFAULT 0,
    retried   bigint           NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, task)
) WITH (fillfactor = 70);

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
        EXECUTE format('GRANT %s ON pgjobs.queue_minutes, pgjobs.queue_minutes_default, pgjobs.finished_totals TO %s',
                       given.privilege, given.role);
    END LOOP;
END $$;
