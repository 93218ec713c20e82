"""Subscriptions and topics are written, changed and retired as schedules are; and what operators do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgjobs import admin, publish, subscribe, topic
from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.events import subscribe as declarations
from pgjobs.schedules.sync import Declaration
from tests.events import tasks
from tests.events.declaring import declare, jobs

if TYPE_CHECKING:
    import psycopg


def code(*names: str, pattern: str = "#", app: str = "shop") -> None:
    """Be a version of the code that declares these."""
    declarations._subscriptions.clear()
    declarations._topics.clear()
    for name in names:
        subscribe(pattern, name=name, app=app)(tasks.nothing)


def states(conn: psycopg.Connection) -> dict[str, str]:
    return {row.name: row.state for row in admin.list_subscriptions(conn)}


def test_what_is_gone_from_the_code_is_retired_once_its_last_declarer_has_ended(conn: psycopg.Connection) -> None:
    code("a", "b")
    old = declare(conn)
    code("b", "c")
    new = declare(conn)
    assert states(conn) == {"a": "active", "b": "active", "c": "active"}

    old.end(conn)
    declare(conn, new)
    publish(conn, "x")

    assert states(conn) == {"a": "retired", "b": "active", "c": "active"}
    assert [task for task, _ in jobs(conn)] == ["b", "c"]


def test_what_has_not_changed_is_not_written_again(conn: psycopg.Connection) -> None:
    code("a")
    declaration = declare(conn)
    before = conn.execute("SELECT xmin::text FROM pgjobs.subscriptions").fetchall()
    declare(conn, declaration)
    assert conn.execute("SELECT xmin::text FROM pgjobs.subscriptions").fetchall() == before


def test_the_newer_version_decides(conn: psycopg.Connection) -> None:
    code("a", pattern="old")
    old = declare(conn)
    code("a", pattern="new")
    declare(conn)
    code("a", pattern="old")
    declare(conn, old)

    assert admin.show_subscription(conn, "a").pattern == "new"


def test_code_that_declares_none_retires_what_it_had(conn: psycopg.Connection) -> None:
    code("a")
    topic("order.*", keep="7d", app="shop")
    declare(conn).end(conn)
    code()
    declare(conn)

    assert states(conn) == {"a": "retired"}
    assert [row.state for row in admin.list_topics(conn)] == ["retired"]


def test_a_declaration_of_schedules_alone_retires_nothing(conn: psycopg.Connection) -> None:
    """As one by a supervisor of the version before, which knows nothing of events."""
    code("a")
    declare(conn).end(conn)
    Declaration("shop").send_heartbeat(conn, {})

    assert states(conn) == {"a": "active"}


def test_one_of_another_application_is_not_taken_over(
    conn: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    code("a", pattern="shop.*")
    declare(conn, Declaration("shop"))
    code("a", pattern="mail.*", app="mail")
    mail = declare(conn, Declaration("mail"))
    declare(conn, mail)

    assert admin.show_subscription(conn, "a").pattern == "shop.*"
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert errors
    assert "the application shop has one of that name" in errors[0]


def test_a_topic_is_changed_by_its_code(conn: psycopg.Connection) -> None:
    topic("order.*", keep="7d")
    declare(conn)
    declarations._topics.clear()
    topic("order.*", keep="1d")
    declare(conn)

    assert [(row.pattern, row.keep.days, row.state) for row in admin.list_topics(conn)] == [("order.*", 1, "active")]


def test_a_pause_keeps_events_as_jobs_and_survives_a_deployment(conn: psycopg.Connection) -> None:
    code("a")
    declare(conn)
    assert admin.pause_subscription(conn, "a")
    assert not admin.pause_subscription(conn, "a")
    code("a", pattern="x")
    declare(conn)
    publish(conn, "x")

    assert states(conn) == {"a": "paused"}
    assert [row.task for row in admin.list_paused_tasks(conn)] == ["a"]
    assert jobs(conn) == [("a", "x")]
    assert admin.resume_subscription(conn, "a")
    assert not admin.resume_subscription(conn, "a")
    assert states(conn) == {"a": "active"}


def test_a_pause_may_drop_events_instead(conn: psycopg.Connection) -> None:
    code("a", "b")
    declare(conn)
    assert admin.pause_subscription(conn, "a", drop=True)
    assert not admin.pause_subscription(conn, "a", drop=True)
    publish(conn, "x")
    declare(conn)
    assert states(conn) == {"a": "dropping", "b": "active"}
    assert admin.resume_subscription(conn, "a")
    publish(conn, "y")

    assert jobs(conn) == [("b", "x"), ("a", "y"), ("b", "y")]


def test_what_code_declares_cannot_be_removed_and_what_is_retired_can(conn: psycopg.Connection) -> None:
    code("a")
    declaration = declare(conn)
    with pytest.raises(UsageError, match="in the code of shop"):
        admin.remove_subscription(conn, "a")
    code()
    declare(conn, declaration)
    with pytest.raises(UsageError, match="no code declares"):
        admin.replay_events(conn, "a")
    admin.remove_subscription(conn, "a")

    assert states(conn) == {}
    for operation in (admin.show_subscription, admin.pause_subscription, admin.replay_events):
        with pytest.raises(NotFoundError, match="subscriptions list"):
            operation(conn, "a")


def test_what_was_retired_long_ago_is_forgotten(conn: psycopg.Connection) -> None:
    code("a")
    declare(conn).end(conn)
    conn.execute("UPDATE pgjobs.subscriptions SET retired_at = now() - interval '31 days'")
    code()
    declare(conn)

    assert states(conn) == {}
