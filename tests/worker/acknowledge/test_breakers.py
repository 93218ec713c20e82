"""Circuit breakers, as workers tell them what happened, and obey them."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import Breaker
from pgjobs.db.connection import connect_hot
from pgjobs.flow import breaker as breakers
from pgjobs.jobs.outcome import COMPLETED, RELEASED, Cancelled, Failed, Outcome, Retried, Snoozed
from pgjobs.worker.acknowledge.breaker_recorder import EVERY, BreakerRecorder
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection
from tests.support.claimed import claimed_job
from tests.support.processes import wait_until
from tests.support.worker import scalar, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

STRIPE = Breaker("stripe", failures=0.5, window=30, min_calls=10, cooldown=60, probes=2)
BAD = Retried("OSError: no", 1.0, answered=False)
GOOD_AFTER_ALL = Failed("ValueError: no", answered=True)
COUNTED = """
    SELECT sum((c->>1)::int) || ' ' || sum((c->>2)::int) FROM pgjobs.breakers, jsonb_array_elements(calls) AS c
"""


@pytest.fixture(autouse=True)
def only_stripe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declare this one alone, whatever other tests have declared."""
    monkeypatch.setattr(breakers, "_declared", {})
    monkeypatch.setattr(breakers, "_contradicted", {})
    breakers.declare(STRIPE)


@pytest.fixture
def local_queue() -> Iterator[LocalQueue]:
    local_queue = LocalQueue("default", 2, 0)
    yield local_queue
    local_queue.close()


@contextmanager
def recorder(
    url: str, *lanes: LocalQueue, outbox: Outbox | None = None, who: str = "worker 1"
) -> Iterator[BreakerRecorder]:
    """Make a recorder as a worker process has it."""

    def link(stop: threading.Event) -> ReconnectingConnection:
        return ReconnectingConnection(
            "breakers", lambda: connect_hot(url, application_name="breakers", async_commit=True), stop
        )

    made = BreakerRecorder(link, who, lanes, SimpleQueue() if outbox is None else outbox)
    try:
        yield made
    finally:
        made.stop()


def of(breaker: str | None, number: int = 1, local_queue: LocalQueue | None = None) -> ClaimedJob:
    """Make a claimed job."""
    return claimed_job(number, local_queue=local_queue, lane="", breaker=breaker)


def tell(
    told: BreakerRecorder, outcome: Outcome, times: int, seconds: float | None = 0.0, name: str = "stripe"
) -> None:
    for _ in range(times):
        told.note(of(name), outcome, seconds)


def state(conn: psycopg.Connection, name: str = "stripe") -> Any:
    return scalar(conn, "SELECT state FROM pgjobs.breakers WHERE name = %s", [name])


def test_workers_share_what_they_count_and_one_of_them_opens_the_breaker(
    database_url: str, conn: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    with recorder(database_url, who="worker 1") as one, recorder(database_url, who="worker 2") as other:
        tell(one, BAD, 4)
        tell(other, COMPLETED, 3)
        wait_for(
            conn, "(SELECT sum((c->>1)::int + (c->>2)::int) = 7 FROM pgjobs.breakers, jsonb_array_elements(calls) c)"
        )
        assert state(conn) == "closed"
        tell(other, BAD, 3)
        wait_for(conn, "(SELECT state = 'open' FROM pgjobs.breakers)")
    row = conn.execute(
        "SELECT changed_by, reason, until - changed_at, calls, failures, period, min_calls, probes FROM pgjobs.breakers"
    ).fetchone()
    assert row is not None
    assert row[:2] == ("worker 2", "7 of 10 calls failed within 30 s")
    assert row[2].total_seconds() == pytest.approx(60, abs=0.001)
    assert row[3] == []
    assert (row[4], row[5].total_seconds(), *row[6:]) == (0.5, 30, 10, 2)
    lines = [record.getMessage() for record in caplog.records if record.name == "pgjobs.breaker"]
    assert lines == ["breaker stripe is open for 60 s (it was closed): 7 of 10 calls failed within 30 s"]


def test_a_breaker_opens_at_once_when_nothing_was_told_before(database_url: str, conn: psycopg.Connection) -> None:
    with recorder(database_url) as told:
        told.start()
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.breakers)")
        time.sleep(2 * EVERY)
        began = time.monotonic()
        tell(told, BAD, 10)
        wait_for(conn, "(SELECT state = 'open' FROM pgjobs.breakers)")
        assert time.monotonic() - began < EVERY + 0.25


def test_what_says_nothing_of_the_dependency_is_not_counted(database_url: str, conn: psycopg.Connection) -> None:
    with recorder(database_url) as told:
        told.start()
        for outcome in (
            Snoozed(1.0),
            Cancelled("no"),
            RELEASED,
            Retried("it was killed", 1.0),
            Failed("it was killed"),
        ):
            tell(told, outcome, 20)
        tell(told, GOOD_AFTER_ALL, 11)
        tell(told, BAD, 9)
    assert scalar(conn, COUNTED) == "11 9"


def test_probes_close_it_and_ring_for_those_who_wait(
    database_url: str, conn: psycopg.Connection, local_queue: LocalQueue
) -> None:
    conn.execute("INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('other', 'infinity')")
    with psycopg.connect(database_url, autocommit=True) as listener, recorder(database_url, local_queue) as told:
        channel = scalar(conn, "SELECT pgjobs.doorbell_channel('other')")
        listener.execute(f'LISTEN "{channel}"'.encode())
        tell(told, BAD, 10)
        wait_for(conn, "(SELECT state = 'open' FROM pgjobs.breakers)")
        conn.execute("UPDATE pgjobs.breakers SET until = clock_timestamp()")
        time.sleep(0.1)
        tell(told, COMPLETED, 30, seconds=60.0)  # they began before: no probes
        wait_for(conn, "(SELECT state = 'half_open' AND passed = 0 FROM pgjobs.breakers)")
        tell(told, COMPLETED, 1)
        wait_for(conn, "(SELECT passed = 1 FROM pgjobs.breakers)")
        local_queue.signals.clear()
        tell(told, COMPLETED, 1)
        wait_for(conn, "(SELECT state = 'closed' AND reason = '2 probes succeeded' FROM pgjobs.breakers)")
        assert next(listener.notifies(timeout=5)).channel == channel


def test_a_probe_that_fails_opens_it_again(database_url: str, conn: psycopg.Connection) -> None:
    with recorder(database_url) as told:
        tell(told, BAD, 10)
        wait_for(conn, "(SELECT state = 'open' FROM pgjobs.breakers)")
        conn.execute("UPDATE pgjobs.breakers SET until = clock_timestamp()")
        time.sleep(0.1)
        tell(told, BAD, 1)
        wait_for(conn, "(SELECT reason = 'a probe failed' FROM pgjobs.breakers)")
    assert scalar(conn, "SELECT extract(epoch FROM until - now())::float8 FROM pgjobs.breakers") > 55


def test_what_was_claimed_before_it_opened_is_handed_back(
    database_url: str, conn: psycopg.Connection, local_queue: LocalQueue
) -> None:
    outbox: Outbox = SimpleQueue()
    with recorder(database_url, local_queue, outbox=outbox) as told:
        local_queue.inbox.put(
            [of(name, number) for number, name in enumerate([None, "stripe", "other", "stripe", None])]
        )
        tell(told, BAD, 10)
        handed = [outbox.get(timeout=5), outbox.get(timeout=5)]
        assert [(ended[0].id, ended[1]) for ended in handed if ended] == [(1, RELEASED), (3, RELEASED)]
        assert [job.id for job in local_queue.inbox.jobs] == [0, 2, 4]


def test_another_worker_hands_its_jobs_back_too(
    database_url: str, conn: psycopg.Connection, local_queue: LocalQueue
) -> None:
    outbox: Outbox = SimpleQueue()
    with recorder(database_url) as one, recorder(database_url, local_queue, outbox=outbox) as other:
        tell(other, COMPLETED, 1)
        local_queue.inbox.put([of("stripe", number) for number in range(5)])
        tell(one, BAD, 10)
        assert [outbox.get(timeout=5) for _ in range(5)]
        with pytest.raises(Empty):
            outbox.get_nowait()


def test_an_operators_word_holds_against_what_calls_say(database_url: str, conn: psycopg.Connection) -> None:
    with recorder(database_url) as told:
        tell(told, COMPLETED, 1)
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.breakers WHERE calls <> '[]')")
        conn.execute("UPDATE pgjobs.breakers SET forced = true")
        tell(told, BAD, 50)
        wait_for(conn, "(SELECT (calls->-1->>2)::int = 50 FROM pgjobs.breakers)")
        assert state(conn) == "closed"
        conn.execute("UPDATE pgjobs.breakers SET state = 'open', until = 'infinity', calls = '[]'")
        tell(told, COMPLETED, 50)
    assert state(conn) == "open"
    assert scalar(conn, "SELECT until = 'infinity' FROM pgjobs.breakers")


def test_new_settings_in_the_code_leave_the_state_alone(database_url: str, conn: psycopg.Connection) -> None:
    with recorder(database_url) as told:
        tell(told, BAD, 10)
        wait_for(conn, "(SELECT state = 'open' FROM pgjobs.breakers)")
    breakers.declare(Breaker("stripe", failures=0.9, window=10, min_calls=5, cooldown=1, probes=7))
    with recorder(database_url) as told:
        told.start()
        wait_for(conn, "(SELECT (failures, period, min_calls, cooldown, probes) = "
                       "(0.9, interval '10 s', 5, interval '1 s', 7) FROM pgjobs.breakers)")  # fmt: skip
    assert state(conn) == "open"


def test_one_that_no_code_here_declares_gets_default_settings(database_url: str, conn: psycopg.Connection) -> None:
    with recorder(database_url) as told:
        tell(told, BAD, 19, name="unknown")
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.breakers WHERE name = 'unknown' AND calls <> '[]')")
        assert state(conn, "unknown") == "closed"
        tell(told, BAD, 1, name="unknown")
        wait_for(conn, "(SELECT state = 'open' FROM pgjobs.breakers WHERE name = 'unknown')")


def test_two_with_one_name_are_told_of(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    breakers.declare(Breaker("stripe", window=5))
    with recorder(database_url) as told:
        told.start()
    assert [r.getMessage() for r in caplog.records if "more than once" in r.message] == [
        "breaker stripe is defined more than once, with different window, min_calls, probes: the last definition "
        "counts; define it once, and give it to all jobs that share it"
    ]


def test_a_cut_connection_loses_no_calls(
    database_url: str, conn: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with recorder(database_url) as told:
        tell(told, BAD, 5)
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.breakers WHERE calls <> '[]')")
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'breakers'")
        tell(told, BAD, 5)
        wait_for(conn, "(SELECT state = 'open' FROM pgjobs.breakers)")


def test_without_breakers_there_is_no_thread_and_no_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorder(database_url) as told:
        tell(told, RELEASED, 5)
        assert not [thread for thread in threading.enumerate() if thread.name == "pgjobs-breakers"]
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "pgjobs-breakers"])
