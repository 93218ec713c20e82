"""What the measurements asked for: retention by dropping partitions, and less work per job.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-21
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What a live row's columns may hold is the same as before, but checked by the columns' types: a CHECK constraint is
# parsed and planned again by every statement, one of a domain once by every connection. Ten CHECKs were half of what
# an INSERT of one row cost the server (42 µs of CPU with them, 24 µs so, 22 µs with nothing checked).
_CHECKED = {
    "run_at": ("timestamptz", "VALUE >= '1970-01-01 00:00+00' AND VALUE < '9999-01-01 00:00+00'"),
    "claims": ("integer", "VALUE BETWEEN 0 AND 2000000000"),
    "attempt": ("integer", "VALUE BETWEEN 0 AND 1000000000"),
    "max_attempts": ("integer", "VALUE BETWEEN 1 AND 1000000000"),
    "prior_attempts": ("integer", "VALUE BETWEEN 0 AND 1000000000"),
    "timeout": ("real", "VALUE > 0 AND VALUE <= 316224000"),
    "priority": ("smallint", "VALUE BETWEEN 0 AND 9"),
    "queue": ("text", "VALUE <> '' AND length(VALUE) <= 100"),
    "executor": ("text", "VALUE IN ('thread', 'async', 'process')"),
}

# A type that checks nothing yet rewrites no table, and what is added to it as NOT VALID reads none: the live rows were
# checked when they came in, and the finished too.
_CHECK_BY_TYPE = [
    *(f"CREATE DOMAIN pgjobs.job_{column} AS {type_}" for column, (type_, _) in _CHECKED.items()),
    "ALTER TABLE pgjobs.jobs_live " + ", ".join(f"DROP CONSTRAINT jobs_live_{column}_check" for column in _CHECKED),
    "ALTER TABLE pgjobs.jobs " + ", ".join(f"ALTER COLUMN {column} TYPE pgjobs.job_{column}" for column in _CHECKED),
    *(
        f"ALTER DOMAIN pgjobs.job_{column} ADD CONSTRAINT job_{column}_check CHECK ({condition}) NOT VALID"
        for column, (_, condition) in _CHECKED.items()
    ),
]

_CHECK_BY_CONSTRAINT = [
    "ALTER TABLE pgjobs.jobs "
    + ", ".join(f"ALTER COLUMN {column} TYPE {type_}" for column, (type_, _) in _CHECKED.items()),
    "ALTER TABLE pgjobs.jobs_live "
    + ", ".join(
        f"ADD CONSTRAINT jobs_live_{column}_check CHECK ({condition.replace('VALUE', column)})"
        for column, (_, condition) in _CHECKED.items()
    ),
    *(f"DROP DOMAIN pgjobs.job_{column}" for column in _CHECKED),
]

# NOTIFY takes a database-wide lock at commit, until the commit is written. So who inserts rings only where somebody
# waits, and only if nobody else is about to ring for the same queue:
# - The sequence says until when the bell of any queue is armed, in seconds since 1970. It is read without a snapshot or
#   a query, so while all queues are busy an INSERT looks no further. Set too far ahead it costs time, set too
#   low it costs a ring: the truth is in queues.doorbell_until.
# - Then the bell of the row's own queue is looked at, once in a transaction.
# - The ring itself waits for the commit. The first to be there holds a lock until it is committed, and the others leave
#   it to that one: they are committed at about the same time, and who is woken goes on looking for some milliseconds.
#   With 64 clients and an armed bell that is 3,600 rows/s, where a NOTIFY each gave 460 (4,500 with none).
_RING_ONCE = [
    "DROP TRIGGER jobs_ring_doorbell ON pgjobs.jobs",
    "CREATE SEQUENCE pgjobs.doorbell MINVALUE 0",
    "GRANT SELECT ON SEQUENCE pgjobs.doorbell TO PUBLIC",
    """
    CREATE FUNCTION pgjobs.open_doorbell() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF TG_RELID <> 'pgjobs.queues'::regclass THEN  -- else anybody's own table would be looked at with these rights
            RAISE EXCEPTION 'this is for the table of queues alone' USING ERRCODE = 'insufficient_privilege';
        END IF;
        PERFORM setval('pgjobs.doorbell', greatest(
            pg_sequence_last_value('pgjobs.doorbell'),
            least(extract(epoch FROM NEW.doorbell_until) + 1, 253402300800)::bigint));
        RETURN NULL;
    END $$
    """,
    "REVOKE EXECUTE ON FUNCTION pgjobs.open_doorbell() FROM PUBLIC",
    """
    CREATE TRIGGER queues_open_doorbell AFTER INSERT OR UPDATE OF doorbell_until ON pgjobs.queues
        FOR EACH ROW WHEN (NEW.doorbell_until > clock_timestamp()) EXECUTE FUNCTION pgjobs.open_doorbell()
    """,
    # For what is due in a moment too: who waits then knows when to look.
    """
    CREATE FUNCTION pgjobs.is_to_ring(queue text, run_at timestamptz, status text) RETURNS boolean
    LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('doorbell.asked_in_' || 'pgjobs', true) = queue OR status <> 'queued'
                OR run_at > clock_timestamp() + interval '2 s' THEN
            RETURN false;
        END IF;
        PERFORM set_config('doorbell.asked_in_' || 'pgjobs', queue, true);
        RETURN EXISTS (SELECT FROM pgjobs.queues AS q
                       WHERE q.name = is_to_ring.queue AND q.doorbell_until > clock_timestamp());
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION pgjobs.ring_doorbell() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        channel text := pgjobs.doorbell_channel(NEW.queue);
    BEGIN
        IF pg_try_advisory_xact_lock(hashtextextended(channel, 0)) THEN
            PERFORM pg_notify(channel, '');
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER jobs_ring_doorbell AFTER INSERT ON pgjobs.jobs_live
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (to_timestamp(pg_sequence_last_value('pgjobs.doorbell')::float8) > clock_timestamp()
              AND pgjobs.is_to_ring(NEW.queue, NEW.run_at, NEW.status))
        EXECUTE FUNCTION pgjobs.ring_doorbell()
    """,
]

_RING_ALWAYS = [
    "DROP TRIGGER jobs_ring_doorbell ON pgjobs.jobs_live",
    "DROP TRIGGER queues_open_doorbell ON pgjobs.queues",
    "DROP FUNCTION pgjobs.is_to_ring(text, timestamptz, text)",
    "DROP FUNCTION pgjobs.open_doorbell()",
    "DROP SEQUENCE pgjobs.doorbell",
    """
    CREATE OR REPLACE FUNCTION pgjobs.ring_doorbell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify(pgjobs.doorbell_channel(q.name), '')
        FROM pgjobs.queues AS q
        WHERE q.doorbell_until > clock_timestamp()
          AND q.name IN (SELECT i.queue FROM inserted AS i
                         WHERE i.status = 'queued' AND i.run_at <= clock_timestamp() + interval '2 s');
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER jobs_ring_doorbell AFTER INSERT ON pgjobs.jobs
        REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION pgjobs.ring_doorbell()
    """,
]

UPGRADE: list[str] = [
    *_CHECK_BY_TYPE,
    *_RING_ONCE,
    # Of all live jobs, not of the queued alone: a claim then changes no indexed column, and its new version of the row
    # goes into the same page, with no new index entries (HOT). A quarter less work for a claim, half of its WAL.
    # The condition holds for every row (its type says so), but only statements that repeat it can use the index:
    # acknowledgements, which look for ids, would else read it from end to end when a plan was made for an empty table.
    "DROP INDEX pgjobs.jobs_live_due",
    "CREATE INDEX jobs_live_due ON pgjobs.jobs_live (queue, priority, run_at, id) WHERE queue <> ''",
    # That page needs room for it: a claimed row is as long as a queued one, plus worker and time.
    "ALTER TABLE pgjobs.jobs_live SET (fillfactor = 45)",
    # At the server's own pace again: without pauses a VACUUM took one of two cores, and half of them are in vain while
    # somebody holds a snapshot. 20,000 jobs/s, p99 of the pick-up latency: 15 to 38 ms without pauses, 12 to 13 with.
    "ALTER TABLE pgjobs.jobs_live RESET (autovacuum_vacuum_cost_delay)",
    # How long things are kept: one row, the same for all workers. NULL is for ever. Who has older days than the default
    # allows loses none of them by an upgrade: then all is kept, until somebody says otherwise.
    """
    CREATE TABLE pgjobs.retention (
        history_days     integer DEFAULT 7 CHECK (history_days BETWEEN 1 AND 36500),
        dead_letter_days integer CHECK (dead_letter_days BETWEEN 1 AND 36500),
        applied_at       timestamptz
    )
    """,
    "CREATE UNIQUE INDEX retention_is_one_row ON pgjobs.retention ((true))",
    """
    INSERT INTO pgjobs.retention (history_days)
    SELECT CASE WHEN NOT EXISTS (SELECT FROM pgjobs.jobs_history WHERE finished_at < now() - interval '7 days')
                THEN 7 END
    """,
    "ALTER TABLE pgjobs.queues ADD COLUMN keep_completed boolean NOT NULL DEFAULT true",
    # As before, but rows of that day which the default partition has taken move into it: most of them while others go
    # on, the rest under the lock that ATTACH takes anyway. If the day is today, whoever finishes jobs waits for the
    # last step: an INSERT that had chosen the default partition already would fail. Where there are so many rows that
    # it would take long, all of that day stay where they are, until they are too old. Whether the day is there is read
    # from pg_class, because to_regclass may remember what was true before the wait for the lock.
    """
    CREATE OR REPLACE FUNCTION pgjobs.make_history_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
    DECLARE
        part text := 'jobs_history_' || to_char(day, 'YYYYMMDD');
        starts timestamptz := day::timestamp AT TIME ZONE 'UTC';
        ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
        move text := format('WITH moved AS (DELETE FROM pgjobs.jobs_history_default
                                            WHERE finished_at >= %L AND finished_at < %L RETURNING *)
                             INSERT INTO %I.%I SELECT * FROM moved', starts, ends, 'pgjobs', part);
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('history'));
        IF EXISTS (SELECT FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace AND relname = part) THEN
            RETURN false;
        END IF;
        IF (SELECT count(*) FROM (SELECT FROM pgjobs.jobs_history_default
                                  WHERE finished_at >= starts AND finished_at < ends LIMIT 20001) AS found) > 20000 THEN
            RETURN false;
        END IF;
        EXECUTE format('CREATE TABLE %I.%I (LIKE pgjobs.jobs_history INCLUDING CONSTRAINTS)', 'pgjobs', part);
        EXECUTE move;
        IF ends > now() + interval '1 day' THEN
            LOCK TABLE ONLY pgjobs.jobs_history IN SHARE UPDATE EXCLUSIVE MODE;
        ELSE
            LOCK TABLE ONLY pgjobs.jobs_history IN SHARE ROW EXCLUSIVE MODE;
        END IF;
        LOCK TABLE pgjobs.jobs_history_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE move;
        EXECUTE format('ALTER TABLE pgjobs.jobs_history ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
                       'pgjobs', part, starts, ends);
        RETURN true;
    END $$
    """,
    # Drop a day, or give up soon: each lock is waited for a tenth of a second at most. The last one, on all of history,
    # is the one that acknowledgements wait for. So those of that day come first, which its readers hold for long.
    """
    CREATE FUNCTION pgjobs.drop_history_partition(day date) RETURNS boolean
    LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
    DECLARE
        part text := 'jobs_history_' || to_char(day, 'YYYYMMDD');
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('history'));
        IF NOT EXISTS (SELECT FROM pg_class
                       JOIN pg_inherits ON inhrelid = oid AND inhparent = 'pgjobs.jobs_history'::regclass
                       WHERE relnamespace = 'pgjobs'::regnamespace AND relname = part) THEN
            RETURN false;
        END IF;
        BEGIN
            EXECUTE format('LOCK TABLE %I.%I, pgjobs.jobs_history_default IN ACCESS EXCLUSIVE MODE',
                           'pgjobs', part);
        EXCEPTION WHEN lock_not_available THEN
            RETURN false;
        END;
        EXECUTE format('DROP TABLE %I.%I', 'pgjobs', part);
        RETURN true;
    END $$
    """,
]

DOWNGRADE: list[str] = [
    *_RING_ALWAYS,
    *_CHECK_BY_CONSTRAINT,
    "ALTER TABLE pgjobs.jobs_live SET (autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE pgjobs.jobs_live RESET (fillfactor)",
    "DROP INDEX pgjobs.jobs_live_due",
    "CREATE INDEX jobs_live_due ON pgjobs.jobs_live (queue, priority, run_at, id) WHERE status = 'queued'",
    "DROP FUNCTION pgjobs.drop_history_partition(date)",
    """
    CREATE OR REPLACE FUNCTION pgjobs.make_history_partition(day date) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        part text := 'jobs_history_' || to_char(day, 'YYYYMMDD');
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('pgjobs'), hashtext('history'));
        IF to_regclass(format('%I.%I', 'pgjobs', part)) IS NOT NULL THEN
            RETURN false;
        END IF;
        EXECUTE format('CREATE TABLE %I.%I (LIKE pgjobs.jobs_history INCLUDING CONSTRAINTS)', 'pgjobs', part);
        EXECUTE format('ALTER TABLE pgjobs.jobs_history ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
                       'pgjobs', part, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        RETURN true;
    END $$
    """,
    "ALTER TABLE pgjobs.queues DROP COLUMN keep_completed",
    "DROP TABLE pgjobs.retention",
]


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Change the tables; every job in them stays."""
    _run(UPGRADE)


def downgrade() -> None:
    """Change them back."""
    _run(DOWNGRADE)
