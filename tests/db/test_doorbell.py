"""The doorbell: an INSERT rings once, where a worker waits and nowhere else, whatever its form."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from pgjobs.db.statements import doorbell_channel, statement
from tests.support.worker import scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import postgres

INSERT = "INSERT INTO pgjobs.jobs (queue, task, payload) VALUES (%s, 'm:f', '')"


@pytest.fixture
def conn(conn: psycopg.Connection) -> psycopg.Connection:
    """A connection that listens to three queues. They exist, and no worker waits."""
    for queue in ("mail", "vip", "bulk"):
        conn.execute("INSERT INTO pgjobs.queues (name) VALUES (%s)", [queue])
        conn.execute(f'LISTEN "{doorbell_channel(queue)}"')
    return conn


def arm(conn: psycopg.Connection, *queues: str) -> None:
    for queue in queues:
        conn.execute(statement("enable_notify"), {"queue": queue, "seconds": 60})


def rung(conn: psycopg.Connection) -> list[str]:
    """Name the queues that were rung for since the last call."""
    names = {doorbell_channel(queue): queue for queue in ("mail", "vip", "bulk")}
    return [names[notify.channel] for notify in conn.notifies(timeout=0.05)]


def test_an_insert_rings_where_a_worker_waits_and_nowhere_else(conn: psycopg.Connection) -> None:
    conn.execute(INSERT, ["mail"])
    assert rung(conn) == []
    arm(conn, "mail")
    conn.execute(INSERT, ["vip"])
    conn.execute(INSERT, ["no worker has ever had it"])
    assert rung(conn) == []
    conn.execute(INSERT, ["mail"])
    assert rung(conn) == ["mail"]
    conn.execute("UPDATE pgjobs.queues SET doorbell_until = NULL")
    conn.execute(INSERT, ["mail"])
    assert rung(conn) == []


def test_a_bell_that_was_armed_rings_until_its_time_is_over(conn: psycopg.Connection) -> None:
    conn.execute("UPDATE pgjobs.queues SET doorbell_until = now() + interval '1 ms' WHERE name = 'mail'")
    conn.execute("SELECT pg_sleep(0.002)")
    conn.execute(INSERT, ["mail"])
    assert rung(conn) == []


@pytest.mark.parametrize("until", ["now() + interval '1 minute'", "'infinity'"])
@pytest.mark.parametrize(
    "how",
    [
        "UPDATE pgjobs.queues SET doorbell_until = {}",
        "INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('new', {})",
    ],
)
def test_writing_that_a_bell_is_armed_arms_it(conn: psycopg.Connection, how: str, until: str) -> None:
    """By hand, or an older worker, or one that begins while the schema is upgraded."""
    conn.execute(f'LISTEN "{doorbell_channel("new")}"')
    conn.execute("INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('short', now() + interval '1 s')")
    conn.execute(how.format(until))
    queue = "mail" if how.startswith("UPDATE") else "new"
    conn.execute("UPDATE pgjobs.queues SET doorbell_until = now() + interval '1 s' WHERE name = 'short'")
    conn.execute(INSERT, [queue])
    assert [notify.channel for notify in conn.notifies(timeout=0.05)] == [doorbell_channel(queue)]


def test_a_shorter_bell_does_not_silence_a_longer_one(conn: psycopg.Connection) -> None:
    arm(conn, "mail")
    conn.execute("UPDATE pgjobs.queues SET doorbell_until = now() + interval '1 ms' WHERE name = 'vip'")
    row = conn.execute("SELECT last_value > extract(epoch FROM now()) + 30 FROM pgjobs.doorbell").fetchone()
    assert row == (True,)


def test_while_no_bell_is_armed_no_queue_is_looked_at(conn: psycopg.Connection) -> None:
    def checks(inserts: int) -> int:
        read = "SELECT idx_scan + seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'pgjobs.queues'::regclass"
        with conn.transaction():
            before = scalar(conn, read)
            for _ in range(inserts):
                conn.execute(INSERT, ["mail"])
            conn.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as COMMIT does
            return int(scalar(conn, read) - before)

    assert checks(10) == 0
    arm(conn, "vip")
    assert checks(10) == 1, "the row of the own queue, once in a transaction"


def test_many_rows_in_several_queues_ring_once_for_each(conn: psycopg.Connection) -> None:
    arm(conn, "mail", "bulk")
    conn.execute(
        "INSERT INTO pgjobs.jobs (queue, task, payload) "
        "SELECT q, 'm:f', '' FROM unnest('{mail,vip,bulk}'::text[]) AS q, generate_series(1, 100)"
    )
    assert sorted(rung(conn)) == ["bulk", "mail"]


def test_it_rings_when_the_transaction_is_committed(database_url: str, conn: psycopg.Connection) -> None:
    arm(conn, "mail")
    with psycopg.connect(database_url) as other:
        other.execute(INSERT, ["mail"])
        assert rung(conn) == []
        other.rollback()
        assert rung(conn) == []
        other.execute(INSERT, ["mail"])
        other.commit()
        assert rung(conn) == ["mail"]


def test_who_is_about_to_ring_rings_for_all(database_url: str, conn: psycopg.Connection) -> None:
    arm(conn, "mail", "vip")
    with psycopg.connect(database_url) as other:
        other.execute(INSERT, ["mail"])
        other.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as in a slow commit
        conn.execute(INSERT, ["mail"])
        assert rung(conn) == []
        conn.execute(INSERT, ["vip"])
        assert rung(conn) == ["vip"], "another bell"
        other.commit()
    assert rung(conn) == ["mail"]
    conn.execute(INSERT, ["mail"])
    assert rung(conn) == ["mail"], "nobody else is"


def test_a_savepoint_that_is_rolled_back_takes_its_ring_with_it_and_no_other(conn: psycopg.Connection) -> None:
    arm(conn, "mail")
    with conn.transaction():
        with suppress(LookupError), conn.transaction():
            conn.execute(INSERT, ["mail"])
            raise LookupError
    assert rung(conn) == []
    with conn.transaction():
        with suppress(LookupError), conn.transaction():
            conn.execute(INSERT, ["mail"])
            raise LookupError
        conn.execute(INSERT, ["mail"])
    assert rung(conn) == ["mail"]


@pytest.mark.parametrize(
    ("status", "held", "run_at", "rings"),
    [
        ("queued", None, "now() - interval '1 h'", True),
        ("queued", None, "now() + interval '1 s'", True),
        ("queued", None, "now() + interval '1 minute'", False),
        ("waiting", None, "now()", True),  # for its turn, which may be at once
        ("waiting", "needs", "now()", False),
        ("waiting", "task", "now()", False),
    ],
)
def test_it_rings_for_what_is_due_or_will_be_in_a_moment(
    conn: psycopg.Connection, status: str, held: str | None, run_at: str, rings: bool
) -> None:
    arm(conn, "mail")
    insert = (
        "INSERT INTO pgjobs.jobs (queue, task, payload, lane, status, held, run_at) VALUES ('mail', 'm:f', '', 'a', "
        f"'{status}', {'NULL' if held is None else repr(held)}, {run_at})"
    )
    conn.execute(insert)
    assert rung(conn) == ["mail"] * rings
    with conn.transaction():
        conn.execute(insert)
        conn.execute(INSERT, ["mail"])
    assert rung(conn) == ["mail"], "what does not ring does not silence what does"


def test_a_job_that_comes_back_from_the_finished_rings(conn: psycopg.Connection) -> None:
    conn.execute(
        "INSERT INTO pgjobs.jobs (queue, task, payload, status, finished_at) "
        "VALUES ('mail', 'm:f', '', 'failed', now())"
    )
    arm(conn, "mail")
    conn.execute("UPDATE pgjobs.jobs SET status = 'queued', finished_at = NULL")
    assert rung(conn) == ["mail"]
    conn.execute(INSERT.replace("pgjobs.jobs", "pgjobs.jobs_live"), ["mail"])
    assert rung(conn) == ["mail"]


def test_two_runners_in_one_database_ring_each_for_themselves(database_url: str, conn: psycopg.Connection) -> None:
    from pgjobs.db import migrations as migrate

    migrate.upgrade(database_url, schema="second")
    conn.execute(f'LISTEN "{doorbell_channel("mail", "second")}"')
    conn.execute("INSERT INTO second.queues (name, doorbell_until) VALUES ('mail', now() + interval '1 minute')")
    arm(conn, "mail")
    with conn.transaction():
        conn.execute(INSERT, ["mail"])
        conn.execute(INSERT.replace("pgjobs.", "second."), ["mail"])
    channels = {notify.channel for notify in conn.notifies(timeout=0.05)}
    assert channels == {doorbell_channel("mail"), doorbell_channel("mail", "second")}


@pytest.fixture
def enqueuer(database_url: str, server: postgres.Server, conn: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A connection of a role that may do what docs/configuration.md says is needed to enqueue."""
    role = f"{server.run}_enqueuer"
    conn.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA pgjobs TO {role}; "
        f"GRANT INSERT, SELECT (id) ON pgjobs.jobs TO {role}; GRANT USAGE ON pgjobs.jobs_id_seq TO {role}; "
        f"GRANT SELECT ON pgjobs.queues TO {role}"
    )
    parts = urlsplit(database_url)
    try:
        url = urlunsplit(parts._replace(netloc=f"{role}:x@{parts.netloc.rpartition('@')[2]}"))
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
    finally:
        conn.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_who_may_only_enqueue_rings_too(conn: psycopg.Connection, enqueuer: psycopg.Connection) -> None:
    enqueuer.execute(INSERT, ["mail"])
    assert rung(conn) == []
    arm(conn, "mail")
    enqueuer.execute(INSERT, ["mail"])
    assert rung(conn) == ["mail"]


def test_who_may_not_read_the_queues_rings_too(conn: psycopg.Connection, enqueuer: psycopg.Connection) -> None:
    conn.execute(f"REVOKE SELECT ON pgjobs.queues FROM {enqueuer.info.user}")
    arm(conn, "mail")
    enqueuer.execute(INSERT, ["mail"])
    assert rung(conn) == ["mail"]


def test_a_ring_that_fails_stops_no_insert(conn: psycopg.Connection) -> None:
    arm(conn, "mail")
    conn.execute("ALTER TABLE pgjobs.queues RENAME COLUMN doorbell_until TO something_else")
    conn.execute(INSERT, ["mail"])
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs") == 1
    assert rung(conn) == []


@pytest.mark.parametrize("gone", ["doorbell_channel(text)", "notify_queue_has_room()"])
def test_a_function_of_the_bell_that_is_gone_stops_no_insert(conn: psycopg.Connection, gone: str) -> None:
    arm(conn, "mail")
    conn.execute(f"DROP FUNCTION pgjobs.{gone}")
    conn.execute(INSERT, ["mail"])
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs") == 1


def test_a_ring_uses_the_rights_of_the_owner_for_no_other_table(conn: psycopg.Connection) -> None:
    """A table of one's own has a queue of any type, whose casts would run with those rights."""
    arm(conn, "mail")
    conn.execute("CREATE TEMP TABLE mine (queue text)")
    conn.execute("CREATE TRIGGER mine AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION pgjobs.ring_doorbell()")
    conn.execute("INSERT INTO mine VALUES ('mail')")
    assert rung(conn) == []
    public = "SELECT pg_catalog.has_function_privilege('pg_monitor', 'pgjobs.ring_doorbell()', 'EXECUTE')"
    assert not scalar(conn, public)


def test_no_role_can_use_the_rights_of_the_owner_on_its_own_table(conn: psycopg.Connection) -> None:
    """The function that opens the gate runs with the owner's rights: on another table those would be anybody's."""
    role = sql.Identifier(f"test_nobody_{conn.info.backend_pid}")
    conn.execute("CREATE TEMP TABLE mine (doorbell_until timestamptz)")
    trigger = "CREATE TRIGGER mine AFTER INSERT ON {} FOR EACH ROW EXECUTE FUNCTION pgjobs.open_doorbell()"
    conn.execute(trigger.format("mine").encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="queues alone"):
        conn.execute("INSERT INTO mine VALUES ('infinity')")
    conn.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        conn.execute(sql.SQL("GRANT USAGE ON SCHEMA pgjobs TO {}").format(role))
        conn.execute(sql.SQL("SET ROLE {}").format(role))
        conn.execute("CREATE TEMP TABLE theirs (doorbell_until timestamptz)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="open_doorbell"):
            conn.execute(trigger.format("theirs").encode())
    finally:
        conn.execute("RESET ROLE")
        conn.execute(sql.SQL("DROP OWNED BY {}").format(role))
        conn.execute(sql.SQL("DROP ROLE {}").format(role))
