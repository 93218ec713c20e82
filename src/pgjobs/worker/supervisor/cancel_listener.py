"""Passes requests to cancel running jobs from the database to the worker processes that run them, and broadcasts.

The request is in the job's row, and a NOTIFY says that there is one. A look every second is the net, and the only way
behind a pooler. Every look passes on all requests for jobs that still run, so none is lost; a repeated one changes
nothing.

A broadcast rings, too. Only then, and for a moment after it, is it looked which workers have one to run; what is missed
so, or cannot ring, comes with the next heartbeat.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pgjobs.db.connection import connect_hot
from pgjobs.db.installation import connection_name
from pgjobs.db.statements import broadcast_channel, cancel_channel, statement
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped
from pgjobs.worker.runtime.registration import awaiting_broadcasts

if TYPE_CHECKING:
    from pgjobs.worker.supervisor.requests import Requests

log = logging.getLogger("pgjobs.cancel_listener")
CHECK_EVERY = 1.0  # seconds
POOLED_CHECK_EVERY = 0.5  # seconds, where nothing rings
LOOK_FOR = 2 * CHECK_EVERY + 0.5  # seconds: a worker may be registered, and not be known here yet
MIN_PAUSE = 0.02  # seconds between two looks, however often it rings


class CancelListener(threading.Thread):
    """One thread and one connection for all workers of a supervisor. `workers()` returns them by their id."""

    def __init__(self, database_url: str, workers: Callable[[], Mapping[int, Requests]]) -> None:
        super().__init__(name="pgjobs-cancel-listener", daemon=True)
        self._workers = workers
        self._stopping = threading.Event()
        self._server = ReconnectingConnection(
            "cancel-listener",
            lambda: connect_hot(database_url, application_name=connection_name("cancel-listener")),
            self._stopping,
        )
        self._generation = 0  # of its connection
        self._rung = False  # since the last look began
        self._broadcasts_until = 0.0  # monotonic seconds: until when workers may have one to run of which it has rung
        self._wake_read, self._wake_write = os.pipe()

    def stop(self) -> None:
        """Have the thread end."""
        self._stopping.set()
        with suppress(OSError):  # the thread has ended
            os.write(self._wake_write, b"!")

    def run(self) -> None:
        """Listen until stopped. No error ends the thread."""
        import psycopg

        while not self._stopping.is_set():
            try:
                self._server.run(self._look)
                self._wait()
            except Stopped:
                break
            except psycopg.Error:
                self._server.close()  # it broke while idle: the next look connects again
            except Exception:
                log.exception("passing on cancel requests failed; retrying in %.1f s", CHECK_EVERY)
                self._stopping.wait(CHECK_EVERY)
        self._server.close()
        for fd in (self._wake_read, self._wake_write):
            os.close(fd)

    def _look(self, server: ReconnectingConnection) -> None:
        connection = server.connection
        if server.generation != self._generation:
            self._generation = server.generation
            if not server.pooled:
                from psycopg import sql

                connection.add_notify_handler(self._ring)
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(cancel_channel())))
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(broadcast_channel())))
        self._rung = False  # a ring from now on may be for a request that this look does not see
        workers = self._workers()
        if not workers:
            return
        if time.monotonic() < self._broadcasts_until:
            for worker_id in awaiting_broadcasts(connection, list(workers)):
                workers[worker_id].look_for_broadcasts()
        with server.hot_cursor() as cursor:
            rows = cursor.execute(statement("cancel_requests"), {"worker_ids": list(workers)}).fetchall()
        requests = defaultdict(list)
        for worker_id, job_id, claim_number, force in rows:
            requests[worker_id].append((job_id, claim_number, force))
        for worker_id, those in requests.items():
            workers[worker_id].cancel(those)

    def _ring(self, notify: Any) -> None:
        self._hear(notify.channel)

    def _hear(self, channel: str) -> None:
        self._rung = True
        if channel == broadcast_channel():
            self._broadcasts_until = time.monotonic() + LOOK_FOR

    def _wait(self) -> None:
        """Wait for a ring, or for the next look. Several rings count as one."""
        server = self._server
        pgconn = server.connection.pgconn
        until = time.monotonic() + (POOLED_CHECK_EVERY if server.pooled else CHECK_EVERY)
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        poller.register(pgconn.socket, select.POLLIN)
        while not self._rung and not self._stopping.is_set() and (seconds := until - time.monotonic()) > 0:
            poller.poll(seconds * 1000)
            pgconn.consume_input()
            while (notify := pgconn.notifies()) is not None:
                self._hear(notify.relname.decode())
        self._stopping.wait(MIN_PAUSE)
