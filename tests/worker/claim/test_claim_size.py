"""Large payloads over a slow link: a claim that could not come over in its time asks for less the next time."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from pgjobs.db.connection import connect_hot
from pgjobs.db.deadline import DeadlineConnection
from pgjobs.worker.claim import claim_size
from pgjobs.worker.claim.producer import Producer
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection
from tests.support.processes import wait_until
from tests.support.rows import put_job, put_worker
from tests.system.chaos.proxy import Proxy

JOBS, SIZE = 40, 500_000  # more than what the buffers of a connection take
RATE = 20_000_000  # bytes per second: all jobs would take a second
WITHIN = 0.3  # seconds, in place of the 20 that a statement of a worker has


def test_jobs_come_over_a_slow_link_that_could_not_come_all_at_once(
    conn: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(claim_size, "LONG", WITHIN / 2)
    for _ in range(JOBS):
        put_job(conn, payload=b"x" * SIZE)
    worker = put_worker(conn, {"default": JOBS})
    parts = urlsplit(database_url)
    proxy = Proxy(parts.port or 5432)
    slow = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}"))
    proxy.rate = RATE

    def connect() -> DeadlineConnection:
        connection = connect_hot(slow, application_name="claim")
        connection.execute_all(f"SET statement_timeout = '{WITHIN}s'")
        return connection

    stop = threading.Event()
    local_queue = LocalQueue("default", JOBS, 0)
    outbox: Outbox = SimpleQueue()
    server = ReconnectingConnection("claims", connect, stop, longest_pause=0.05)
    producer = Producer(local_queue, outbox, server, worker, stop, threading.Event())
    producer.start()
    try:
        wait_until(lambda: len(local_queue.running) == JOBS, 15)
        assert "statement timeout" in caplog.text, "the first claim did not come over"
    finally:
        stop.set()
        local_queue.signals.wake()
        proxy.rate = None
        producer.join()
        proxy.close()
