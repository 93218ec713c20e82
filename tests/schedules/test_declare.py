"""What code declares is written, changed and retired; a process that declares none of it removes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

from pgjobs import admin
from pgjobs.core.errors import UsageError
from pgjobs.schedules.schedule import make
from pgjobs.schedules.stored_call import StoredSchedule
from pgjobs.schedules.sync import Declaration
from tests.schedules import tasks


def of(app: str, **crons: str) -> dict[str, StoredSchedule]:
    return {name: make(cron, tasks.tidy, name=name, app=app) for name, cron in crons.items()}


def states(conn: Connection) -> dict[str, str]:
    return {row.name: row.state for row in admin.list_schedules(conn)}


def test_what_is_gone_from_the_code_is_retired_once_its_last_declarer_has_ended(conn: Connection) -> None:
    old, new = Declaration("shop"), Declaration("shop")
    old.send_heartbeat(conn, of("shop", a="0 9 * * *", b="0 9 * * *"))
    new.send_heartbeat(conn, of("shop", b="0 9 * * *", c="0 9 * * *"))
    assert states(conn) == {"a": "active", "b": "active", "c": "active"}

    old.end(conn)
    new.send_heartbeat(conn, of("shop", b="0 9 * * *", c="0 9 * * *"))

    assert states(conn) == {"a": "retired", "b": "active", "c": "active"}


def test_two_versions_do_not_fight_and_the_newer_one_wins(conn: Connection) -> None:
    old, new = Declaration("shop"), Declaration("shop")
    for _ in range(3):
        old.send_heartbeat(conn, of("shop", a="0 9 * * *"))
        new.send_heartbeat(conn, of("shop", a="0 10 * * *"))
        updated = admin.show_schedule(conn, "a").updated_at
    old.send_heartbeat(conn, of("shop", a="0 9 * * *"))

    assert admin.show_schedule(conn, "a").cron == "0 10 * * *"
    assert admin.show_schedule(conn, "a").updated_at == updated


def test_an_old_version_that_started_last_gives_way_when_it_ends(conn: Connection) -> None:
    new, old = Declaration("shop"), Declaration("shop")
    new.send_heartbeat(conn, of("shop", a="0 10 * * *"))
    old.send_heartbeat(conn, of("shop", a="0 9 * * *"))
    assert admin.show_schedule(conn, "a").cron == "0 9 * * *"

    old.end(conn)
    new.send_heartbeat(conn, of("shop", a="0 10 * * *"))

    assert admin.show_schedule(conn, "a").cron == "0 10 * * *"


def test_others_and_operators_keep_theirs(conn: Connection) -> None:
    admin.add_schedule(conn, "mine", "0 9 * * *", tasks.tidy)
    Declaration("mail").send_heartbeat(conn, of("mail", letters="0 9 * * *"))
    Declaration("shop").send_heartbeat(conn, {})

    assert states(conn) == {"letters": "active", "mine": "active"}


def test_schedule_of_another_owner_is_not_taken_over(conn: Connection, caplog: pytest.LogCaptureFixture) -> None:
    admin.add_schedule(conn, "a", "0 9 * * *", tasks.tidy)
    Declaration("mail").send_heartbeat(conn, of("mail", b="0 9 * * *"))
    shop = Declaration("shop")
    for _ in range(2):
        shop.send_heartbeat(conn, of("shop", a="0 10 * * *", b="0 10 * * *"))

    assert {row.cron for row in admin.list_schedules(conn)} == {"0 9 * * *"}
    assert [record.message.partition(" is not")[0] for record in caplog.records if record.levelname == "ERROR"] == [
        "schedule a of shop",
        "schedule b of shop",
    ]


def test_a_pause_survives_restarts_changes_and_retirement(conn: Connection) -> None:
    Declaration("shop").send_heartbeat(conn, of("shop", a="0 9 * * *"))
    admin.pause_schedule(conn, "a")

    for declared in (of("shop", a="0 9 * * *"), of("shop", a="0 10 * * *"), {}, of("shop", a="0 9 * * *")):
        declaration = Declaration("shop")
        declaration.send_heartbeat(conn, declared)
        assert conn.execute("SELECT paused_at IS NOT NULL FROM pgjobs.schedules").fetchone() == (True,)
        declaration.end(conn)

    assert states(conn) == {"a": "paused"}


def test_a_restart_keeps_what_was_missed_and_a_new_expression_begins_anew(conn: Connection) -> None:
    Declaration("shop").send_heartbeat(conn, of("shop", a="0 9 * * *"))
    conn.execute("UPDATE pgjobs.schedules SET next_at = next_at - interval '2 days'")
    missed = admin.show_schedule(conn, "a").next_at
    again = Declaration("shop")
    changed: dict[str, Any] = {"a": make("0 9 * * *", tasks.tidy, name="a", app="shop", overlap="skip")}

    again.send_heartbeat(conn, changed)
    assert admin.show_schedule(conn, "a").next_at == missed
    assert admin.show_schedule(conn, "a").overlap == "skip"
    again.send_heartbeat(conn, of("shop", a="30 9 * * *"))
    row = admin.show_schedule(conn, "a")
    assert row.next_at is not None
    assert row.next_at > row.updated_at


def test_what_code_declares_is_not_for_operators_to_change_or_remove(conn: Connection) -> None:
    declaration = Declaration("shop")
    declaration.send_heartbeat(conn, of("shop", a="0 9 * * *"))

    with pytest.raises(UsageError, match="in the code of shop"):
        admin.add_schedule(conn, "a", "0 10 * * *", tasks.tidy, replacing=True)
    with pytest.raises(UsageError, match="in the code of shop"):
        admin.remove_schedule(conn, "a")
    declaration.send_heartbeat(conn, {})
    admin.remove_schedule(conn, "a")

    assert states(conn) == {}


def test_what_was_retired_long_ago_and_who_counts_no_more_is_forgotten(conn: Connection) -> None:
    Declaration("shop").send_heartbeat(conn, of("shop", a="0 9 * * *"))
    conn.execute("UPDATE pgjobs.schedules SET retired_at = now() - interval '31 days'")
    conn.execute("UPDATE pgjobs.schedule_owners SET seen_at = now() - interval '8 days'")

    Declaration("mail").send_heartbeat(conn, {})

    assert states(conn) == {}
    assert conn.execute("SELECT role FROM pgjobs.schedule_owners").fetchall() == [("mail",)]
