"""Events with a key are handled one after another, in their order, in each subscription by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs import publish, subscribe
from tests.events import tasks
from tests.events.declaring import declare

if TYPE_CHECKING:
    import psycopg


def test_events_of_a_key_wait_for_one_another_in_each_subscription(conn: psycopg.Connection) -> None:
    subscribe("order.*", name="a", on_failure="skip")(tasks.nothing)
    subscribe("order.*", name="b", limit="crm")(tasks.nothing)
    declare(conn)
    first = publish(conn, "order.placed", sequence="order:1")
    publish(conn, "order.paid", sequence="order:1")
    publish(conn, "order.placed", sequence="order:2")

    rows = conn.execute(
        "SELECT j.task, j.status, j.sequence = '#' || s.id || ':order:1', j.on_failure, j.lane"
        " FROM pgjobs.jobs AS j JOIN pgjobs.subscriptions AS s ON s.name = j.task"
        " WHERE j.sequence LIKE '%:1' ORDER BY j.id"
    ).fetchall()
    a, b = (row[0] for row in conn.execute("SELECT id FROM pgjobs.subscriptions ORDER BY name"))
    assert rows == 2 * [
        ("a", "waiting", True, "skip", f"\x1f\x1f#{a}:order:1\x1f"),
        ("b", "waiting", True, "block", f"\x1fcrm\x1f#{b}:order:1\x1f"),
    ]
    heads = conn.execute(
        "SELECT task, convert_from(payload, 'UTF8')::jsonb -> '*event' ->> 'id' FROM pgjobs.jobs WHERE id IN"
        " (SELECT pgjobs.head_of_sequence(k.sequence) FROM (SELECT DISTINCT sequence FROM pgjobs.jobs) AS k)"
        " AND sequence LIKE '%:1' ORDER BY task"
    ).fetchall()
    assert heads == [("a", str(first)), ("b", str(first))]
