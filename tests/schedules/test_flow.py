"""The options that hold a job up arrive in the row of each firing, and unique keys hold among firings, too."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from pgjobs import Limit, Sequence, Unique, admin, configure, enqueue, job
from pgjobs.payload.signing import signed_fields, verify
from pgjobs.schedules.firing import fire_due
from tests.schedules import tasks
from tests.schedules.test_firing import due_since
from tests.support.rows import row_of
from tests.support.worker import scalar

KEY = b"for the tests alone"
ENDS = datetime(2190, 1, 1, tzinfo=UTC)


@job
def send(tenant: str, size: int = 3) -> None:
    """Send."""


def fire(conn: Connection, **options: Any) -> dict[str, Any]:
    """Fire a schedule of `send` with these options once, and give the row of its job."""
    admin.add_schedule(conn, "send", "* * * * *", send.options(**options), ("acme",))
    due_since(conn, "send", "0")
    assert fire_due(conn) == 1
    return row_of(conn, scalar(conn, "SELECT last_job_id FROM pgjobs.schedules"))


def refire(conn: Connection) -> int:
    """Fire it again, and give the id of the job that stands for this firing."""
    due_since(conn, "send", "0")
    assert fire_due(conn) == 1
    assert admin.show_schedule(conn, "send").error is None
    return int(scalar(conn, "SELECT last_job_id FROM pgjobs.schedules"))


@pytest.mark.parametrize(
    ("options", "arrives"),
    [
        ({"limit": "t:{tenant}"}, {"limit_key": "t:acme", "lane": "\x1ft:acme\x1f\x1f"}),
        ({"sequence": Sequence("{tenant}", on_failure="end")}, {"sequence": "acme", "on_failure": "end"}),
        ({"breaker": "bank"}, {"breaker": "bank"}),
        ({"fair_by": "tenant"}, {"lane": "acme\x1f\x1f\x1f"}),
        ({"limit": Limit("k", cost="size")}, {"cost": 3.0, "status": "waiting"}),
        ({"limit": Limit("k", cost=0.5)}, {"limit_key": "k", "cost": 0.5}),
        ({"expires": ENDS}, {"expires_at": ENDS}),
        ({"unique": "u", "limit": "k", "expires": ENDS}, {"limit_key": "k", "expires_at": ENDS}),
    ],
    ids=[
        "limit",
        "sequence",
        "breaker",
        "fair_by",
        "cost of the call",
        "cost and limit",
        "expires at",
        "unique and others",
    ],
)
def test_each_option_arrives(conn: Connection, options: Any, arrives: dict[str, Any]) -> None:
    row = fire(conn, **options)

    assert {name: row[name] for name in arrives} == arrives
    assert row["status"] == arrives.get("status", "waiting")
    by_hand = row_of(conn, admin.run_schedule(conn, "send").id)
    assert {name: by_hand[name] for name in arrives if "unique" not in options} == {
        name: arrives[name] for name in arrives if "unique" not in options
    }


@pytest.mark.parametrize("unique", [None, "u"], ids=["plain", "unique"])
def test_seconds_until_it_expires_count_from_the_time_of_the_firing(conn: Connection, unique: str | None) -> None:
    row = fire(conn, expires=90, unique=unique)

    assert row["run_at"].second == 0
    assert row["expires_at"] == row["run_at"] + timedelta(seconds=90)


@pytest.mark.parametrize("on_conflict", ["skip", "raise"])
def test_a_firing_whose_key_is_held_is_done_with_the_job_that_has_it(
    conn: Connection, on_conflict: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pgjobs.scheduler")
    first = enqueue(conn, send.options(unique="{tenant}"), "acme")

    assert fire(conn, unique=Unique("{tenant}", on_conflict=on_conflict))["id"] == first.id
    assert refire(conn) == first.id

    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs") == 1
    assert f"because job {first.id} has the unique key" in caplog.text
    schedule = admin.show_schedule(conn, "send")
    assert schedule.next_at is not None
    assert schedule.last_at is not None
    assert schedule.next_at > schedule.last_at
    by_hand = admin.run_schedule(conn, "send")
    assert (by_hand.id, by_hand.conflict) == (first.id, True)
    conn.execute("UPDATE pgjobs.jobs SET status = 'completed', finished_at = now()")
    assert refire(conn) != first.id


def test_a_firing_replaces_what_has_not_started(conn: Connection) -> None:
    first = enqueue(conn, send.options(unique="u", priority=1), "other")

    row = fire(conn, unique=Unique("u", on_conflict="replace"), priority=8)

    assert (row["id"], row["priority"], row["summary"]) == (first.id, 8, "send('acme')")
    assert row["run_at"] == admin.show_schedule(conn, "send").last_at
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs") == 1


def test_overlap_skip_waits_for_the_job_that_has_the_key(conn: Connection) -> None:
    first = enqueue(conn, send.options(unique="u"), "other")
    admin.add_schedule(conn, "send", "* * * * *", send.options(unique="u"), ("acme",), overlap="skip")
    due_since(conn, "send", "0")
    assert fire_due(conn) == 1

    due_since(conn, "send", "0")
    assert fire_due(conn) == 0
    conn.execute("UPDATE pgjobs.jobs SET status = 'completed', finished_at = now()")

    assert refire(conn) > first.id


def test_a_queue_that_is_given_instead_is_part_of_the_key(conn: Connection) -> None:
    unique = send.options(unique=Unique.by("args", "queue"))
    first = enqueue(conn, unique.options(queue="slow"), "acme")
    for name in ("slow", "default"):
        admin.add_schedule(conn, name, "0 0 1 1 *", unique, ("acme",), queue=name)

    assert admin.run_schedule(conn, "slow") == first
    assert not admin.run_schedule(conn, "default").conflict


@pytest.mark.parametrize("options", [{"limit": "k"}, {"unique": "u"}], ids=["controlled", "checked"])
def test_the_signature_arrives(conn: Connection, options: Any) -> None:
    configure(signing_keys=(KEY,))

    row = fire(conn, **options)

    assert row["summary"] == "send('acme')"
    verify([KEY], row["signature"], signed_fields(row), row["payload"])


def test_a_key_that_a_transaction_has_locked_holds_up_no_other_schedule(conn: Connection, database_url: str) -> None:
    admin.add_schedule(conn, "send", "* * * * *", send.options(unique="u"), ("acme",))
    admin.add_schedule(conn, "tidy", "* * * * *", tasks.tidy)
    due_since(conn, "send", "1 min")
    due_since(conn, "tidy", "0")
    with psycopg.connect(database_url) as other:
        enqueue(other, send.options(unique="u"), "acme")

        assert fire_due(conn) == 1
        assert scalar(conn, "SELECT summary FROM pgjobs.jobs") == "tidy()"
        other.rollback()
    assert fire_due(conn) == 1
    assert admin.show_schedule(conn, "send").error is None


@pytest.mark.parametrize(
    "options", ['{"statement": "claim", "values": {}}', '{"statement": "enqueue_after_checks"}', "[1]"]
)
def test_options_that_cannot_be_read_are_written_beside_the_schedule(conn: Connection, options: str) -> None:
    admin.add_schedule(conn, "send", "* * * * *", send, ("acme",))
    due_since(conn, "send", "0")
    conn.execute("UPDATE pgjobs.schedules SET options = %s", [options])

    assert fire_due(conn) == 0

    assert "cannot be read" in (admin.show_schedule(conn, "send").error or "")
