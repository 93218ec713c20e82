"""The load's own tables: what jobs and enqueuers say, and what triggers see of the rows of pgjobs.

The triggers are deferred, so that the time of a row in `moves` is that of the commit, give or take a moment. Those of
history are not: rows there are moved to other partitions by the maintenance of history, in one transaction with changes
of tables. What belongs together is told by the number of the transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

TABLES = """
CREATE SCHEMA stress;

CREATE TABLE stress.mode (calm boolean NOT NULL, down boolean NOT NULL);

INSERT INTO stress.mode VALUES (false, false);

CREATE TABLE stress.calls (
    job bigint PRIMARY KEY, about jsonb NOT NULL
);

CREATE TABLE stress.unique_calls (
    key text, until text, on_conflict text, job bigint, conflict boolean, began timestamptz
);

CREATE TABLE stress.runs (
    job bigint, claim integer, pid integer, kind text, word text, holds boolean,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job, claim, pid, kind)
);

CREATE TABLE stress.moves (
    n bigserial, xid bigint, at timestamptz, op text, id bigint, status text, claims integer, queue text,
    limit_key text, cost real, sequence text, on_failure text, breaker text, expires_at timestamptz, task text,
    started_at timestamptz
);

CREATE TABLE stress.letters (n bigserial, xid bigint, at timestamptz, op text, id bigint);

CREATE TABLE stress.settings (n bigserial, xid bigint, at timestamptz, kind text, name text, value jsonb);

CREATE FUNCTION stress.log_move() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    IF TG_OP = 'DELETE' THEN r := OLD; ELSE r := NEW; END IF;
    INSERT INTO stress.moves (xid, at, op, id, status, claims, queue, limit_key, cost, sequence, on_failure, breaker,
                              expires_at, task, started_at)
    VALUES (pg_current_xact_id()::text::bigint, clock_timestamp(), left(TG_OP, 1), r.id, r.status, r.claims, r.queue,
            r.limit_key, r.cost, r.sequence, r.on_failure, r.breaker, r.expires_at, r.task, r.started_at);
    RETURN NULL;
END $$;

CREATE FUNCTION stress.log_letter() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    IF TG_OP = 'DELETE' THEN r := OLD; ELSE r := NEW; END IF;
    INSERT INTO stress.letters (xid, at, op, id)
    VALUES (pg_current_xact_id()::text::bigint, clock_timestamp(), left(TG_OP, 1), r.id);
    RETURN NULL;
END $$;

CREATE FUNCTION stress.log_setting() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r jsonb := to_jsonb(NEW);
BEGIN
    INSERT INTO stress.settings (xid, at, kind, name, value)
    VALUES (pg_current_xact_id()::text::bigint, clock_timestamp(), TG_TABLE_NAME,
            coalesce(r ->> 'name', to_jsonb(OLD) ->> 'name', r ->> 'task', to_jsonb(OLD) ->> 'task', ''),
            r || jsonb_build_object('seconds', extract(epoch FROM (r ->> 'period')::interval),
                                    'cooldown_seconds', extract(epoch FROM (r ->> 'cooldown')::interval),
                                    'until', extract(epoch FROM (r ->> 'until')::timestamptz)));
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER stress AFTER INSERT OR UPDATE OR DELETE ON pgjobs.jobs_live
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stress.log_move();

CREATE CONSTRAINT TRIGGER stress AFTER INSERT OR UPDATE OR DELETE ON pgjobs.jobs_waiting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stress.log_move();

CREATE TRIGGER stress AFTER INSERT ON pgjobs.jobs_history FOR EACH ROW EXECUTE FUNCTION stress.log_move();

CREATE CONSTRAINT TRIGGER stress AFTER INSERT OR DELETE ON pgjobs.dead_jobs
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stress.log_letter();

CREATE CONSTRAINT TRIGGER stress AFTER INSERT OR UPDATE OR DELETE ON pgjobs.limits
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stress.log_setting();

CREATE CONSTRAINT TRIGGER stress AFTER INSERT OR DELETE ON pgjobs.queues
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stress.log_setting();

CREATE CONSTRAINT TRIGGER stress_change AFTER UPDATE ON pgjobs.queues
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (to_jsonb(OLD) - 'doorbell_until' <> to_jsonb(NEW) - 'doorbell_until')
    EXECUTE FUNCTION stress.log_setting();

CREATE CONSTRAINT TRIGGER stress AFTER INSERT OR DELETE ON pgjobs.breakers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stress.log_setting();

CREATE CONSTRAINT TRIGGER stress_change AFTER UPDATE ON pgjobs.breakers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.until IS DISTINCT FROM NEW.until) EXECUTE FUNCTION stress.log_setting();

CREATE CONSTRAINT TRIGGER stress AFTER INSERT OR UPDATE OR DELETE ON pgjobs.switch
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stress.log_setting();

CREATE CONSTRAINT TRIGGER stress AFTER INSERT OR DELETE ON pgjobs.paused_tasks
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stress.log_setting();
"""
FORGET = """
    TRUNCATE stress.calls, stress.unique_calls, stress.runs, stress.moves, stress.letters;
    DELETE FROM stress.settings AS s
    WHERE EXISTS (SELECT FROM stress.settings AS o WHERE o.kind = s.kind AND o.name = s.name AND o.n > s.n);
"""
"""Between two rounds. Settings stay as they are, so the last word about each stays, too."""


def make_tables(conn: psycopg.Connection[Any]) -> None:
    """Make them; what is set by then is written down as well."""
    conn.execute(TABLES)


def forget(conn: psycopg.Connection[Any]) -> None:
    """Forget a round that was audited."""
    conn.execute(FORGET)
