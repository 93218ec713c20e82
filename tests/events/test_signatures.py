"""Jobs of events are signed by two: the publisher signs the event, the declarer what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from psycopg.rows import dict_row

from pgjobs import admin, configure, publish, subscribe
from pgjobs.core.errors import PayloadError, SignatureError
from pgjobs.events import subscribe as declarations
from pgjobs.payload.signing import signed_fields, verify
from tests.events import tasks
from tests.events.declaring import call, declare

if TYPE_CHECKING:
    import psycopg

KEY, OTHER = b"for the tests alone", b"another one, also for tests"


@pytest.fixture
def rows(conn: psycopg.Connection) -> list[dict[str, Any]]:
    """Two signed jobs of one event, and two of another."""
    configure(signing_keys=[KEY])
    subscribe("order.*", name="a", queue="mail", timeout=0.1, meta={"of": "ä"})(tasks.nothing)
    subscribe("#", name="b")(tasks.nothing)
    declare(conn)
    publish(conn, "order.placed", {"id": 42})
    publish(conn, "invoice.paid", {"id": 43}, sequence="x")
    return read(conn)


def read(conn: psycopg.Connection) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM pgjobs.jobs ORDER BY id").fetchall()


def check(row: dict[str, Any], *keys: bytes, **changes: Any) -> None:
    row = {**row, **changes}
    verify(keys or (KEY,), row["signature"], signed_fields(row), row["payload"])


def test_what_a_subscription_and_an_event_made_is_accepted(rows: list[dict[str, Any]]) -> None:
    assert [row["task"] for row in rows] == ["a", "b", "b"]
    for row in rows:
        check(row)
        check(row, OTHER, KEY)
        with pytest.raises(SignatureError, match="wrong"):
            check(row, OTHER)


def test_nothing_that_decides_what_runs_can_be_changed(rows: list[dict[str, Any]]) -> None:
    row = rows[0]
    for changes in (
        {"queue": "default"},
        {"task": "b"},
        {"executor": "process"},
        {"timeout": None},
        {"meta": {"of": "a"}},
        {"payload": row["payload"].replace(b"42", b"43")},
        {"payload": row["payload"].replace(b"order.placed", b"order.paid")},
        {"payload": row["payload"].replace(b'"pattern":"order.*"', b'"pattern":"order.#"')},
        {"payload": b'{"*":[42]}'},
        {"signature": row["signature"][:32]},
        {"signature": row["signature"][32:]},
        {"signature": row["signature"][32:] + row["signature"][:32]},
        {"signature": b""},
    ):
        with pytest.raises(SignatureError, match="wrong"):
            check(row, **changes)
    with pytest.raises(SignatureError, match="not signed"):
        check(row, signature=None)


def test_an_event_is_not_for_a_subscription_that_does_not_ask_for_it(rows: list[dict[str, Any]]) -> None:
    """All of it is signed: the head of the first job, and the body of another event."""
    order, _, invoice = rows
    cut = b',"topic":'
    payload = order["payload"].partition(cut)[0] + cut + invoice["payload"].partition(cut)[2]
    with pytest.raises(SignatureError, match="not one that this subscription asks for"):
        check(order, payload=payload, signature=order["signature"][:32] + invoice["signature"][32:])


@pytest.mark.parametrize(
    "head",
    [
        b'{"*event":{"id":1,"at":"2026-01-01T00:00:00Z","pattern":"order.*","topic" :"order.x","payload" :"forged"',
        b'{"*event":{"id":1,"at":"2026-01-01T00:00:00Z","pattern":"order.*"},"*":[1],"z":{"a":1',
        b'{"*event":{"id":"1","at":"2026-01-01T00:00:00Z","pattern":"order.*"',
        b'{"*event":{"id":1,"at":"soon","pattern":"order.*"',
        b'{"*event":{"id":1,"at":"2026-01-01T00:00:00Z"',
        b'{"*event":[1',
        b'{"*event":',
    ],
)
def test_a_head_cannot_pass_for_a_body(rows: list[dict[str, Any]], head: bytes) -> None:
    cut = b',"topic":'
    payload = head + cut + rows[0]["payload"].partition(cut)[2]
    with pytest.raises(PayloadError, match="not that of an event"):
        call("a", payload)


def test_what_is_published_or_declared_without_the_key_is_not_signed(conn: psycopg.Connection) -> None:
    subscribe("#", name="a")(tasks.nothing)
    configure(signing_keys=[KEY])
    declare(conn)
    conn.execute("SELECT pgjobs.publish('order.placed')")
    configure(signing_keys=[])
    publish(conn, "order.placed")
    declare(conn)  # the code of a worker without a key
    configure(signing_keys=[KEY])
    publish(conn, "order.placed")
    assert [row["signature"] for row in read(conn)] == [None, None, None]


def test_a_new_key_signs_the_subscription_again(conn: psycopg.Connection) -> None:
    configure(signing_keys=[OTHER])
    subscribe("#", name="a")(tasks.nothing)
    declaration = declare(conn)
    configure(signing_keys=[KEY, OTHER])
    publish(conn, "x")
    declare(conn, declaration)
    publish(conn, "x")
    old, new = read(conn)
    check(old, OTHER, KEY)
    with pytest.raises(SignatureError):
        check(old, KEY)
    check(new, KEY)


def test_a_job_that_moves_to_another_queue_is_signed_again(
    conn: psycopg.Connection, rows: list[dict[str, Any]]
) -> None:
    changed = admin.set_jobs(conn, rows[0]["id"], queue="vip")
    assert changed.done == (rows[0]["id"],)
    row = read(conn)[0]
    assert row["queue"] == "vip"
    check(row)
    conn.execute("UPDATE pgjobs.jobs SET signature = 'x' WHERE id = %s", [row["id"]])
    assert "does not fit" in admin.set_jobs(conn, row["id"], queue="mail").refused[0].reason


def test_a_job_that_takes_json_is_not_called_with_an_event(conn: psycopg.Connection) -> None:
    subscribe("#", name="a")(tasks.nothing)
    declare(conn)
    publish(conn, "x")
    payload = read(conn)[0]["payload"]
    declarations._subscriptions.clear()
    with pytest.raises(PayloadError, match="takes no events"):
        call("tests.schedules.tasks:report", payload)
    with pytest.raises(PayloadError, match="takes no JSON payload"):
        call("a", b"[1]")
