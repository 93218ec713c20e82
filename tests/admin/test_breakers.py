from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import Breaker, UsageError
from pgjobs.admin import auto_breaker, close_breaker, list_breakers, open_breaker, remove_breaker, show_breaker
from pgjobs.core.errors import NotFoundError
from pgjobs.db.breakers import declare_breaker, lock_breaker, write_breaker
from pgjobs.db.statements import doorbell_channel
from pgjobs.flow.breaker_state import BreakerState, Bucket
from tests.support.rows import put_job

if TYPE_CHECKING:
    from psycopg import Connection

STRIPE = Breaker("stripe", failures=0.25, window=10, min_calls=5, cooldown=2.5, probes=2)


def put(conn: Connection, circuit: BreakerState, breaker: Breaker = STRIPE) -> None:
    with conn.cursor() as cursor:
        declare_breaker(cursor, breaker)
        write_breaker(cursor, breaker.name, circuit, "worker 1")


def test_breakers_are_listed_with_their_state_settings_and_counts(conn: Connection) -> None:
    now = time.time()
    window = (Bucket(now - 60, 5, 5), Bucket(now - 3, 10, 1), Bucket(now - 1, 4, 2))
    put(conn, BreakerState("closed", since=now - 7, window=window, reason="2 probes succeeded"))
    put(conn, BreakerState("open", until=now + 60, since=now), Breaker("aws"))
    put_job(conn, status="running", worker_id=1, breaker="stripe")
    first, second = list_breakers(conn)
    assert (first.name, first.state, first.calls, first.min_calls) == ("aws", "open", 0, 20)
    assert (second.state, second.calls, second.failed, second.running) == ("closed", 17, 3, 1)
    assert (second.failures, second.window, second.min_calls, second.cooldown, second.probes) == (0.25, 10, 5, 2.5, 2)
    assert (second.reason, second.changed_by) == ("2 probes succeeded", "worker 1")
    assert second.changed_at is not None
    assert second.changed_at.timestamp() == pytest.approx(now - 7, abs=1e-5)


@pytest.mark.parametrize(
    "circuit",
    [
        BreakerState(),
        BreakerState("open", until=1_800_000_000.25, since=1_700_000_000.5, reason="x"),
        BreakerState("open", until=math.inf, forced=True, since=1_700_000_000.5),
        BreakerState("half_open", until=1_800_000_000.25, since=1_800_000_000.25, passed=2),
        BreakerState("closed", since=1.5, window=(Bucket(1.25, 2, 3), Bucket(4.5, 5, 6)), streak=7),
    ],
    ids=["new", "open", "by hand", "half-open", "closed"],
)
def test_a_state_is_read_as_it_was_written(conn: Connection, circuit: BreakerState) -> None:
    put(conn, circuit)
    with conn.transaction(), conn.cursor() as cursor:
        found = lock_breaker(cursor, "stripe")
    assert found.circuit == circuit
    assert found.breaker == STRIPE
    assert abs(found.now - time.time()) < 60


@pytest.mark.parametrize("calls", ["[]", "[1]", '["a"]', "[[1, 2]]", '[[1, 2, "x"]]', "[[null, 1, 1]]"])
def test_a_window_that_makes_no_sense_counts_as_empty(conn: Connection, calls: str) -> None:
    put(conn, BreakerState())
    conn.execute("UPDATE pgjobs.breakers SET calls = %s::text::jsonb", [calls])
    with conn.transaction(), conn.cursor() as cursor:
        assert lock_breaker(cursor, "stripe").circuit == BreakerState()
    assert show_breaker(conn, "stripe").calls == 0


def test_one_that_was_removed_comes_back_with_the_settings_of_the_code(conn: Connection) -> None:
    put(conn, BreakerState("open", until=math.inf, forced=True, since=1.5))
    remove_breaker(conn, "stripe")
    assert list_breakers(conn) == []
    with conn.transaction(), conn.cursor() as cursor:
        found = lock_breaker(cursor, "stripe", STRIPE)
    assert (found.circuit, found.breaker) == (BreakerState(), STRIPE)


def test_open_breaker_whose_time_is_over_is_half_open(conn: Connection) -> None:
    put(conn, BreakerState("open", until=time.time() - 1, forced=True, since=time.time() - 9))
    found = show_breaker(conn, "stripe")
    assert (found.state, found.forced) == ("half_open", False)


def test_open_breaker_stays_open_for_a_time_or_until_closed(conn: Connection) -> None:
    open_breaker(conn, "new", 60, by="ada")
    found = show_breaker(conn, "new")
    assert (found.state, found.forced, found.changed_by, found.reason) == ("open", True, "ada", "opened by an operator")
    assert found.until is not None
    assert found.changed_at is not None
    assert (found.until - found.changed_at).total_seconds() == 60
    open_breaker(conn, "new")
    assert show_breaker(conn, "new").until == datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize("stay", [False, True], ids=["by itself", "stay"])
def test_one_is_closed_and_stays_so_if_it_shall(conn: Connection, stay: bool) -> None:
    open_breaker(conn, "stripe")
    close_breaker(conn, "stripe", stay=stay)
    found = show_breaker(conn, "stripe")
    assert (found.state, found.until, found.forced) == ("closed", None, stay)


def test_one_decides_by_itself_again(conn: Connection) -> None:
    open_breaker(conn, "stripe")
    auto_breaker(conn, "stripe")
    found = show_breaker(conn, "stripe")
    assert (found.state, found.forced, found.passed) == ("half_open", False, 0)


@pytest.mark.parametrize("change", [close_breaker, auto_breaker, remove_breaker], ids=["close", "auto", "remove"])
def test_who_waits_for_it_is_woken(conn: Connection, database_url: str, change: Any) -> None:
    open_breaker(conn, "stripe")
    conn.execute("INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('mail', 'infinity')")
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{doorbell_channel("mail")}"'.encode())
        change(conn, "stripe")
        assert [n.channel for n in listener.notifies(timeout=5, stop_after=1)] == [doorbell_channel("mail")]


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, 1e12, "60"], ids=str)
def test_seconds_that_are_none_are_refused(conn: Connection, seconds: Any) -> None:
    with pytest.raises(UsageError, match="give seconds above 0"):
        open_breaker(conn, "stripe", seconds)
    assert list_breakers(conn) == []


def test_breaker_of_an_unusable_or_unknown_name_is_refused(conn: Connection) -> None:
    with pytest.raises(NotFoundError, match=r"no breaker 'stripe'.*breakers list"):
        show_breaker(conn, "stripe")
    with pytest.raises(NotFoundError, match=r"no breaker 'stripe'.*breakers list"):
        remove_breaker(conn, "stripe")
    for change in (show_breaker, open_breaker, close_breaker, auto_breaker, remove_breaker):
        with pytest.raises(UsageError, match="space at one of its ends"):
            change(conn, " ")
