"""Publishing: one job for each event and subscription, in the caller's transaction, on every kind of connection."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import EnqueueError, SchemaError, UsageError, configure, publish, subscribe
from tests.events import tasks
from tests.events.declaring import call, declare, jobs
from tests.support.callers import KINDS, settled

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("opened", list(KINDS.values()), ids=list(KINDS))
def test_an_event_is_a_job_of_each_subscription_when_its_transaction_is_committed(
    opened: Callable[[str], Any], database_url: str, conn: psycopg.Connection
) -> None:
    subscribe("order.*", name="a", queue="mail")(tasks.nothing)
    subscribe("#", name="b")(tasks.nothing)
    subscribe("invoice.*", name="c")(tasks.nothing)
    declare(conn)

    async def main() -> int:
        async with opened(database_url) as caller:
            event: int = await settled(publish(caller.conn, "order.placed", {"id": 42}))
            async with caller.savepoint():
                await settled(publish(caller.conn, "order.paid"))
            assert jobs(conn) == []
            await caller.commit()
            await settled(publish(caller.conn, "order.placed"))
            await caller.rollback()
        return event

    event = asyncio.run(main())
    placed, paid = "order.placed", "order.paid"
    assert jobs(conn) == [("a", placed), ("b", placed), ("a", paid), ("b", paid)]
    task, payload, queue, summary, signature = conn.execute(
        "SELECT task, payload, queue, summary, signature FROM pgjobs.jobs ORDER BY id LIMIT 1"
    ).fetchall()[0]
    (got,) = call(task, payload).args
    assert (queue, summary, signature) == ("mail", f"nothing(order.placed {event})", None)
    assert (got.topic, got.payload, got.id) == (placed, {"id": 42}, event)
    assert timedelta(0) <= datetime.now(UTC) - got.at < timedelta(minutes=1)


def test_one_statement_makes_all_jobs(conn: psycopg.Connection) -> None:
    for n in range(20):
        subscribe("order.*", name=f"s{n}")(tasks.nothing)
    declare(conn)
    conn.execute("CREATE TABLE IF NOT EXISTS statements (n int)")
    conn.execute("TRUNCATE statements")
    conn.execute(
        """
        CREATE OR REPLACE FUNCTION count_statements() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.statements VALUES (1); RETURN NULL; END $$;
        CREATE TRIGGER counted AFTER INSERT ON pgjobs.jobs EXECUTE FUNCTION count_statements()
        """
    )
    publish(conn, "order.placed")
    conn.execute("DROP TRIGGER counted ON pgjobs.jobs")
    assert conn.execute("SELECT count(*) FROM pgjobs.jobs").fetchone() == (20,)
    assert conn.execute("SELECT count(*) FROM statements").fetchone() == (1,)


def test_options_of_the_subscription_are_those_of_its_jobs(conn: psycopg.Connection) -> None:
    subscribe(
        "#",
        name="all",
        queue="mail",
        priority=1,
        max_attempts=3,
        timeout=7,
        executor="process",
        meta={"tenant": "acme"},
        limit="crm",
        breaker="crm",
        fair_by="{meta.tenant}",
        expires=60,
        summary=False,
    )(tasks.nothing)
    declare(conn)
    publish(conn, "a")
    columns = (
        "queue, priority, max_attempts, timeout, executor, meta, limit_key, breaker, lane, summary, status,"
        " expires_at - run_at"
    )
    assert conn.execute(f"SELECT {columns} FROM pgjobs.jobs").fetchall() == [
        (
            *("mail", 1, 3, 7.0, "process", {"tenant": "acme"}, "crm", "crm"),
            *("acme\x1fcrm\x1f\x1fcrm", None, "waiting", timedelta(seconds=60)),
        )
    ]


def test_without_subscriptions_nothing_happens(conn: psycopg.Connection) -> None:
    first, second = publish(conn, "order.placed"), publish(conn, "order.placed")
    assert 0 < first < second
    assert jobs(conn) == []
    assert conn.execute("SELECT count(*) FROM pgjobs.events").fetchone() == (0,)


@pytest.mark.parametrize("payload", [object(), float("nan"), (1,), {1: 2}, "\ud800"])
def test_what_json_does_not_have_is_refused_and_the_transaction_lives(
    conn: psycopg.Connection, payload: object
) -> None:
    with conn.transaction():
        with pytest.raises(EnqueueError, match="which JSON does not have"):
            publish(conn, "order.placed", payload)
        publish(conn, "order.placed", 'quoted ",\\"topic\\": ä \x00')


def test_an_event_is_bounded_because_each_subscription_stores_it(conn: psycopg.Connection) -> None:
    publish(conn, "order.placed", "x" * 200_000)
    with pytest.raises(EnqueueError, match="262,144 are allowed"):
        publish(conn, "order.placed", "x" * 262_144)
    configure(max_payload=1000)
    with pytest.raises(EnqueueError, match="1,000 are allowed"):
        publish(conn, "order.placed", "x" * 1000)


def test_topics_and_sequences_are_checked(conn: psycopg.Connection) -> None:
    with pytest.raises(UsageError, match=r"order\.placed"):
        publish(conn, "order.*")
    with pytest.raises(UsageError, match="too long"):
        publish(conn, "order.placed", sequence="x" * 81)
    with pytest.raises(EnqueueError, match="cannot enqueue on"):
        publish("postgresql://", "order.placed")  # type: ignore[call-overload]


def test_tables_without_events_ask_for_a_migration(conn: psycopg.Connection) -> None:
    conn.execute("ALTER FUNCTION pgjobs.publish_event RENAME TO publish_event_gone")
    try:
        with pytest.raises(SchemaError, match="pgjobs migrate"):
            publish(conn, "order.placed")
    finally:
        conn.execute("ALTER FUNCTION pgjobs.publish_event_gone RENAME TO publish_event")


def test_a_trigger_that_keeps_a_job_out_is_an_error(conn: psycopg.Connection) -> None:
    subscribe("#", name="a")(tasks.nothing)
    declare(conn)
    conn.execute(
        """
        CREATE OR REPLACE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER kept BEFORE INSERT ON pgjobs.jobs_live FOR EACH ROW EXECUTE FUNCTION keep_out()
        """
    )
    try:
        with pytest.raises(EnqueueError, match="keeps rows out"):
            publish(conn, "order.placed")
    finally:
        conn.execute("DROP TRIGGER kept ON pgjobs.jobs_live")


def test_sql_publishes_as_python_does(conn: psycopg.Connection) -> None:
    subscribe("order.*", name="a")(tasks.nothing)
    declare(conn)
    payload = {"name": 'ä",\n', "n": [1, None, True]}
    conn.execute("SELECT pgjobs.publish('order.placed', %s)", [psycopg.types.json.Jsonb(payload)])
    conn.execute("SELECT pgjobs.publish('order.paid', sequence => 'order:1')")
    conn.execute("SELECT pgjobs.publish('order.sent', NULL)")
    rows = conn.execute("SELECT task, payload, sequence IS NULL FROM pgjobs.jobs ORDER BY id").fetchall()
    got = [(call(task, payload).args[0], plain) for task, payload, plain in rows]
    assert [(event.topic, event.payload, plain) for event, plain in got] == [
        ("order.placed", payload, True),
        ("order.paid", None, False),
        ("order.sent", None, True),
    ]
    for wrong in ("'order.*'", "NULL", "'a b'", "'a', sequence => ''", "'a', sequence => repeat('x', 81)"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            conn.execute(f"SELECT pgjobs.publish({wrong})".encode())
