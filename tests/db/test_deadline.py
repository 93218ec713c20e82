"""A server that takes bytes and says nothing: statements of workers get an error in time."""

from __future__ import annotations

import itertools
import signal
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from pgjobs.db.connection import ANSWER_WITHIN, STATEMENT_TIMEOUT, ConnectError, connect, connect_hot
from tests.system.chaos.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pgjobs.db.deadline import DeadlineConnection


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    proxy = Proxy(urlsplit(database_url).port or 5432)
    yield proxy
    proxy.close()


@pytest.fixture
def through(database_url: str, proxy: Proxy) -> str:
    """The URL of the database through the proxy."""
    parts = urlsplit(database_url)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}"))


def test_a_statement_without_an_answer_is_an_error_in_time(through: str, proxy: Proxy) -> None:
    with connect(through, answer_within=0.5) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
        proxy.swallow_open()
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match=r"no answer for 0\.5 s"):
            conn.execute("SELECT 2")
        assert 0.4 < time.monotonic() - began < 3
        assert conn.closed


def test_a_transaction_without_an_answer_does_not_wait_for_its_rollback_too(through: str, proxy: Proxy) -> None:
    with connect(through, answer_within=0.5) as conn:
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="no answer"):
            cut_off_in_transaction(conn, proxy)
        assert time.monotonic() - began < 0.95


def cut_off_in_transaction(conn: psycopg.Connection, proxy: Proxy) -> None:
    with conn.transaction():
        conn.execute("SELECT 1")
        proxy.swallow_open()
        conn.execute("SELECT 2")


def test_statements_that_are_answered_in_time_are_left_alone(through: str) -> None:
    with connect(through, answer_within=1.0) as conn:
        for _ in range(3):
            conn.execute("SELECT pg_sleep(0.5)")
        assert conn.execute("SELECT count(*) FROM generate_series(1, 100000)").fetchone() == (100000,)


def test_ctrl_c_at_any_moment_of_a_statement_ends_the_connection_quietly(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    for moment in range(1, 4):
        with pytest.raises(KeyboardInterrupt), connect(database_url) as conn:
            interrupted(conn, moment)
        assert conn.closed
        assert caplog.messages == []


def interrupted(conn: DeadlineConnection, moment: int) -> None:
    """Run a long statement, and press Ctrl-C in the middle of psycopg's own code (as Python hands a signal on)."""
    ours = conn.wait

    def wait(gen: Generator[Any, Any, Any], *arguments: Any, **keywords: Any) -> Any:
        return ours(press_ctrl_c(gen, moment), *arguments, **keywords)

    conn.wait = wait  # type: ignore[method-assign]  # the handler of a signal cannot be timed as exactly
    conn.execute("SELECT pg_sleep(30)")


def press_ctrl_c(gen: Generator[Any, Any, Any], moment: int) -> Generator[Any, Any, Any]:
    try:
        waits_for = next(gen)
        for number in itertools.count():
            ready = yield waits_for
            if number == moment:
                signal.raise_signal(signal.SIGINT)
            waits_for = gen.send(ready)
    except StopIteration as end:
        return end.value


def test_without_a_limit_statements_may_take_long(through: str) -> None:
    with connect(through) as conn:
        conn.execute("SELECT pg_sleep(1.2)")


def test_connecting_to_who_says_nothing_is_an_error_in_time(through: str, proxy: Proxy) -> None:
    proxy.mode = "swallow"
    began = time.monotonic()
    with pytest.raises(ConnectError, match="timeout"):
        connect(through, answer_within=1.0)
    assert time.monotonic() - began < 6


def test_the_server_gives_up_before_the_worker_does(database_url: str) -> None:
    with connect_hot(database_url, application_name="pgjobs test") as conn:
        assert conn.answer_within == ANSWER_WITHIN > STATEMENT_TIMEOUT
        assert conn.execute("SHOW statement_timeout").fetchone() == (f"{STATEMENT_TIMEOUT:g}s",)
