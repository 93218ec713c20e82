"""What a worker's thread finds that looks for queues of its patterns."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue
from pgjobs.db.connection import connect_hot
from pgjobs.worker.config import QueueSlots, WorkerConfig
from pgjobs.worker.runtime import queue_finder
from pgjobs.worker.runtime.queue_finder import QueueFinder
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection
from tests.support import tasks
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

Made = tuple[QueueFinder, threading.Event]


@pytest.fixture
def finder_of(database_url: str) -> Iterator[Callable[[str, int], Made]]:
    servers = []

    def make(pattern: str, slots: int) -> Made:
        stop = threading.Event()
        server = ReconnectingConnection("test", lambda: connect_hot(database_url, application_name="test"), stop)
        servers.append(server)
        config = WorkerConfig(database_url, queues=(), patterns=(QueueSlots(pattern, slots),))
        return QueueFinder(config, server, 1, stop), stop

    yield make
    for each in servers:
        each.close()


def test_no_more_queues_are_taken_than_there_are_slots_for_and_each_other_one_is_named_once(
    finder_of: Callable[[str, int], Made], conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    for queue in ("a", "b", "c", "other"):
        enqueue(conn, tasks.nothing.options(queue=queue))
    finder, _ = finder_of("?", 5_000)
    for _ in range(2):
        finder.look()
    assert [queue.name for queue in finder.found()] == ["a", "b"]
    refused = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert refused == ["queue c is not served: this worker has found as many queues as it can take"]


def test_nothing_is_new_once_a_look_found_nothing_and_what_was_found_before_is_served(
    finder_of: Callable[[str, int], Made], conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_finder, "EVERY", 60.0)
    enqueue(conn, tasks.nothing)
    finder, stop = finder_of("*", 1)
    for _ in range(2):
        finder.look()
    assert not finder.nothing_new_since(0.0)
    assert len(finder.found()) == 1
    assert finder.nothing_new_since(0.0)
    finder.start()
    asked = time.monotonic()
    wait_until(lambda: finder.nothing_new_since(asked), 10)  # it looks when it is asked, not a minute later
    stop.set()
    assert not finder.nothing_new_since(time.monotonic())
    finder.join(10)
    assert not finder.is_alive()
