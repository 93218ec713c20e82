"""Topics keep their events, and a replay makes one job for each that a subscription has had none for."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from pgjobs import admin, publish, subscribe, topic
from pgjobs.admin import Replay, subscriptions
from pgjobs.core.errors import UsageError
from pgjobs.worker.supervisor.retention import Retention
from tests.events import tasks
from tests.events.declaring import declare, jobs


def tell(conn: psycopg.Connection, *topics: str) -> None:
    for each in topics:
        publish(conn, each, each)


def test_a_new_subscription_gets_what_was_kept_once(conn: psycopg.Connection) -> None:
    topic("order.#", keep="7d")
    subscribe("order.*", name="old")(tasks.nothing)
    declare(conn)
    tell(conn, "order.placed", "invoice.paid", "order.item.added", "order.paid")
    subscribe("order.*", name="new", queue="slow")(tasks.nothing)
    declare(conn)
    tell(conn, "order.sent")
    conn.execute("DELETE FROM pgjobs.jobs")

    assert admin.replay_events(conn, "new") == Replay(4, 2)
    assert jobs(conn) == [("new", "order.placed"), ("new", "order.paid")]
    assert conn.execute("SELECT DISTINCT queue FROM pgjobs.jobs").fetchall() == [("slow",)]
    assert admin.replay_events(conn, "new").made == 0
    assert admin.replay_events(conn, "old").made == 0


def test_an_event_of_a_replay_is_the_same_event(conn: psycopg.Connection) -> None:
    topic("#", keep="7d")
    subscribe("#", name="a")(tasks.nothing)
    declare(conn)
    publish(conn, "order.placed", {"id": 42}, sequence="order:1")
    subscribe("#", name="b")(tasks.nothing)
    declare(conn)
    admin.replay_events(conn, "b")
    (first, _), (second, sequence) = conn.execute(
        "SELECT replace(convert_from(payload, 'UTF8'), ' ', ''), right(sequence, 8) FROM pgjobs.jobs ORDER BY id"
    ).fetchall()
    assert (first, sequence) == (second, ":order:1")


def test_a_replay_can_be_of_a_while_and_goes_in_batches(
    conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "EVENTS_PER_STEP", 2)
    topic("#", keep="7d")
    declare(conn)
    tell(conn, "a", "b", "c", "d", "e")
    conn.execute("UPDATE pgjobs.events SET published_at = now() - interval '3 h' WHERE topic IN ('a', 'b')")
    conn.execute("UPDATE pgjobs.events SET published_at = now() - interval '1 h' WHERE topic = 'c'")
    subscribe("#", name="x")(tasks.nothing)
    declare(conn)
    now, progress = datetime.now(UTC), list[int]()

    made = admin.replay_events(conn, "x", since="2h", until=now - timedelta(minutes=1))
    assert (made.seen, made.made) == (1, 1)
    assert admin.replay_events(conn, "x", since=now - timedelta(hours=2)).made == 2
    assert admin.replay_events(conn, "x", on_progress=progress.append).made == 2
    assert progress == [2]
    assert [name for _, name in jobs(conn)] == ["c", "d", "e", "a", "b"]
    for wrong in ("soon", datetime(2026, 1, 1), -1):  # noqa: DTZ001 (no time zone, on purpose)
        with pytest.raises(UsageError, match="since="):
            admin.replay_events(conn, "x", since=wrong)


def test_replays_at_once_make_one_job_of_each_event(conn: psycopg.Connection, database_url: str) -> None:
    topic("#", keep="7d")
    declare(conn)
    tell(conn, *(f"t{n}" for n in range(40)))
    subscribe("#", name="x")(tasks.nothing)
    declare(conn)
    done: list[Replay] = []

    def replay() -> None:
        with psycopg.connect(database_url, autocommit=True) as own:
            done.append(admin.replay_events(own, "x"))

    with conn.transaction():  # so that all of them wait for the rows of the first
        done.append(admin.replay_events(conn, "x"))
        threads = [threading.Thread(target=replay) for _ in range(3)]
        for thread in threads:
            thread.start()
        threads[0].join(0.3)
    for thread in threads:
        thread.join()

    assert sorted(each.made for each in done) == [0, 0, 0, 40]
    assert len(jobs(conn)) == 40


def test_a_replay_that_is_rolled_back_is_repeated(conn: psycopg.Connection) -> None:
    topic("#", keep="7d")
    declare(conn)
    tell(conn, "a")
    subscribe("#", name="x")(tasks.nothing)
    declare(conn)
    with conn.transaction(force_rollback=True):
        assert admin.replay_events(conn, "x").made == 1
    assert jobs(conn) == []
    assert admin.replay_events(conn, "x").made == 1


def test_events_are_kept_for_their_time_and_no_longer(conn: psycopg.Connection) -> None:
    topic("long.#", keep="7d")
    topic("short.#", keep="1h")
    topic("short.x", keep="7d")
    declare(conn)
    before = _days(conn)
    Retention().work(conn, lambda: False)
    days = _days(conn) - before
    assert {f"events_{datetime.now(UTC) + timedelta(days=n):%Y%m%d}" for n in (0, 7, 8)} <= days
    tell(conn, "long", "short.x", "other")
    kept = conn.execute(
        "SELECT topic, tableoid::regclass::text, kept_until - published_at FROM pgjobs.events ORDER BY id"
    )
    assert [(name, table != "pgjobs.events_default", time.days) for name, table, time in kept] == [
        ("long", True, 7),
        ("short.x", True, 7),
    ], "the longest time counts"
    conn.execute("UPDATE pgjobs.events SET kept_until = now() - interval '2 days'")
    conn.execute("SELECT pgjobs.create_events_partition((now() - interval '2 days')::date)")
    subscribe("#", name="x")(tasks.nothing)
    declare(conn)
    assert admin.replay_events(conn, "x").seen == 0
    conn.execute("UPDATE pgjobs.retention SET applied_at = NULL")
    Retention().work(conn, lambda: False)
    assert conn.execute("SELECT count(*) FROM pgjobs.events").fetchone() == (0,)


def test_what_is_looked_at_does_not_grow_with_what_lies_around(conn: psycopg.Connection) -> None:
    topic("#", keep="7d")
    declare(conn)
    conn.execute(
        "INSERT INTO pgjobs.events (id, published_at, kept_until, topic, body)"
        " SELECT -n, now() - n * interval '1 min', now() + interval '1 day', 'x', ''"
        " FROM generate_series(1, 5000) AS n"
    )
    conn.execute("INSERT INTO pgjobs.jobs (task, payload) SELECT 'a:b', '' FROM generate_series(1, 5000)")
    conn.execute("ANALYZE pgjobs.events, pgjobs.jobs")
    subscribe("#", name="x")(tasks.nothing)
    declare(conn)
    with conn.transaction():
        publish(conn, "x")
        assert admin.replay_events(conn, "x", since=600).made == 9
        read = conn.execute(
            "SELECT sum(seq_tup_read) < 100, sum(idx_tup_fetch) < 100 FROM pg_stat_xact_user_tables"
            " WHERE relname ~ '^(events|jobs)'"
        ).fetchall()
    assert read == [(True, True)]


def test_without_topics_no_days_are_made(conn: psycopg.Connection) -> None:
    before = _days(conn)
    Retention().work(conn, lambda: False)
    assert _days(conn) == before


def _days(conn: psycopg.Connection) -> set[str]:
    rows = conn.execute("SELECT relname FROM pg_class WHERE relname ~ '^events_[0-9]' AND relkind = 'r'").fetchall()
    return {name for (name,) in rows}
