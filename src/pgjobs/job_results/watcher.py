"""All waits of a process in one database: one connection, one thread, and one query for all jobs that are waited for.

Those who follow jobs are told here, too, how the jobs stand: by one more query for all of them, now and then.

The thread listens for the bell of results, which it keeps armed while there is something to wait for. Between rings it
looks by itself, after pauses that grow: a ring may be lost, and what is cancelled does not ring. Behind a pooler, where
LISTEN does not work, these looks are all there is.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from pgjobs.core.errors import ConfigurationError
from pgjobs.db.connection import connect_hot, pinned
from pgjobs.db.installation import connection_name
from pgjobs.db.query import ended_at
from pgjobs.db.statements import results_channel, statement
from pgjobs.job_results.ends import End, Ended, Kept, Missing
from pgjobs.job_results.looks import Look, read_look

if TYPE_CHECKING:
    from pgjobs.db.deadline import DeadlineConnection
    from pgjobs.job_results.source import Place

log = logging.getLogger("pgjobs.results")
Sink: TypeAlias = Callable[["Ended | Exception", int], None]
LookSink: TypeAlias = Callable[[Look], None]

ARM_FOR = 30  # seconds; armed again when half of them are over
FIRST_PAUSE = 0.005  # seconds between two looks, doubled with each that finds nothing
LONGEST_PAUSE = 2.0
LONGEST_PAUSE_POOLED = 0.5
BETWEEN_LOOKS = 0.001  # at least, so that many rings, or many who begin to wait, make one look
FEW = 20  # waits: after a ring their results are looked for at once, and not first which of them have ended
MISSING_FOR = 0.25  # seconds without a trace of a job, until it is given up: its transaction may be about to commit
RESULTS_AT_ONCE = 50  # they may be large
RECONNECT_FOR = 60.0  # seconds for which the database may be gone; then all who wait get the error
KEEP_OPEN = 10.0  # seconds without waits, until the connection is closed


class Watcher:
    """The waits in one database. For any thread."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._sinks: dict[int, list[Sink]] = {}
        self._followers: dict[LookSink, tuple[int, float]] = {}  # the job of each, and its seconds between two looks
        self._follow_at = 0.0  # monotonic seconds: when to look for those who follow
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._connection: DeadlineConnection | None = None
        self._armed_until = 0.0  # monotonic seconds
        self._closing = False
        self._missing: dict[int, float] = {}  # when these were first looked for in vain
        self._pause = FIRST_PAUSE
        self._rung = False  # since the last look began
        self._looked_at = 0.0  # monotonic seconds: when the last look was over
        self.looks = 0  # queries for all that is waited for
        self.connections = 0

    def add(self, ids: Iterable[int], sink: Sink) -> None:
        """Have the sink called with the end of each of these jobs, from another thread."""
        with self._lock:
            for job_id in ids:
                self._sinks.setdefault(job_id, []).append(sink)
            self._pause = FIRST_PAUSE
            self._start()
        self._wake()

    def follow(self, job_id: int, every: float, sink: LookSink) -> None:
        """Have the sink called with how the job stands, from another thread; `every`: seconds between two calls."""
        with self._lock:
            self._followers[sink] = job_id, every
            self._follow_at = 0.0
            self._start()
        self._wake()

    def unfollow(self, sink: LookSink) -> None:
        """Call the sink no longer."""
        with self._lock:
            self._followers.pop(sink, None)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pgjobs-results", daemon=True)
            self._thread.start()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # it has been woken many times already
            os.write(self._wake_write, b"!")

    def remove(self, ids: Iterable[int], sink: Sink) -> None:
        """Forget what `add` was given: its caller waits no longer."""
        with self._lock:
            for job_id in ids:
                sinks = self._sinks.get(job_id, [])
                if sink in sinks:
                    sinks.remove(sink)
                if not sinks:
                    self._sinks.pop(job_id, None)

    @property
    def waiting(self) -> list[int]:
        """The jobs that are waited for."""
        with self._lock:
            return list(self._sinks)

    def close(self) -> None:
        """End the thread and close the connection, as far as nothing is waited for."""
        self._closing = True
        thread = self._thread
        if thread is not None:
            self._wake()
            thread.join()

    def _run(self) -> None:
        import psycopg

        idle_since = broken_since = 0.0
        while True:
            with self._lock:
                ids, is_needed = list(self._sinks), bool(self._sinks or self._followers)
                is_over = self._closing or (idle_since and time.monotonic() - idle_since > KEEP_OPEN)
                if not is_needed and is_over:
                    self._thread = None
                    self._close()
                    return
            idle_since = 0.0 if is_needed else idle_since or time.monotonic()
            try:
                if is_needed:
                    self._look(ids)
                    self._looked_at = time.monotonic()
                broken_since = 0.0
                self._wait(self._next_pause() if is_needed else KEEP_OPEN)
            except (psycopg.OperationalError, psycopg.InterfaceError, ConfigurationError, OSError) as error:
                now = time.monotonic()
                broken_since = broken_since or now
                if self.connections == 0 or now - broken_since > RECONNECT_FOR:
                    self._fail(error)
                self._close()
                time.sleep(min(self._next_pause(), LONGEST_PAUSE_POOLED))
            except Exception as error:  # the tables are missing, or this role may not read them
                self._fail(error)
                self._close()

    def _look(self, ids: list[int]) -> None:
        connection = self._connection or self._connect()
        if not connection.pooled and time.monotonic() > self._armed_until - ARM_FOR / 2:
            connection.execute(statement("arm_result_bell"), {"seconds": ARM_FOR})
            self._armed_until = time.monotonic() + ARM_FOR
        self._tell_followers(connection)
        if not ids:
            return
        self.looks += 1
        was_rung, self._rung = self._rung, False  # a ring from now on may be for an end that this look does not see
        with pinned(connection) if connection.pooled else nullcontext():
            if was_rung and len(ids) <= FEW:
                found = self._results(connection, ids)
                self._deliver_all(found)
                ids = [job_id for job_id in ids if job_id not in found]
            if ids:
                ended = [row[0] for row in connection.execute(statement("ended_jobs"), {"ids": _array(ids)})]
                for start in range(0, len(ended), RESULTS_AT_ONCE):
                    self._read(connection, ended[start : start + RESULTS_AT_ONCE])

    def _tell_followers(self, connection: DeadlineConnection) -> None:
        now = time.monotonic()
        with self._lock:
            if not self._followers or now < self._follow_at:
                return
            followers = dict(self._followers)
            self._follow_at = now + min(every for _, every in followers.values())
        ids = {job_id for job_id, _ in followers.values()}
        rows = connection.execute(statement("look_at_jobs"), {"ids": _array(ids)}).fetchall()
        looks = {look.job_id: look for look in (read_look(bytes(row[0])) for row in rows)}
        for sink, (job_id, _) in followers.items():
            _call(sink, looks[job_id], job_id)

    def _read(self, connection: DeadlineConnection, ids: list[int]) -> None:
        """Read what came of jobs that have ended, and pass it on."""
        found = self._results(connection, ids)
        rest = [job_id for job_id in ids if job_id not in found]
        if rest:
            values = {"ids": _array(rest), "ended_at": ended_at(connection, rest)}
            found |= {row[0]: End(*row) for row in connection.execute(statement("ends_of"), values)}
        now = time.monotonic()
        for job_id in ids:
            if job_id not in found and now - self._missing.setdefault(job_id, now) >= MISSING_FOR:
                found[job_id] = Missing(job_id)
        self._deliver_all(found)

    def _results(self, connection: DeadlineConnection, ids: list[int]) -> dict[int, Ended]:
        rows = connection.execute(statement("results_of"), {"ids": _array(ids)}).fetchall()
        return {row[0]: Kept(*row) for row in rows}

    def _deliver_all(self, found: dict[int, Ended]) -> None:
        for job_id, end in found.items():
            self._missing.pop(job_id, None)
            self._deliver(job_id, end)

    def _deliver(self, job_id: int, end: Ended | Exception) -> None:
        with self._lock:
            sinks = self._sinks.pop(job_id, [])
            self._pause = FIRST_PAUSE
            self._follow_at = 0.0  # those who follow it are told once more
        for sink in sinks:
            _call(partial(sink, end), job_id, job_id)

    def _fail(self, error: Exception) -> None:
        """End all waits with an error."""
        with self._lock:
            ids = list(self._sinks)
        for job_id in ids:
            self._deliver(job_id, error)

    def _connect(self) -> DeadlineConnection:
        from psycopg import sql

        connection = connect_hot(self._place.conninfo, application_name=connection_name("results"))
        self._connection, self._armed_until = connection, 0.0
        self.connections += 1
        if not connection.pooled:
            connection.add_notify_handler(self._ring)
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(results_channel())))
        return connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _next_pause(self) -> float:
        """Return the seconds until the next look, and double them for the one after."""
        connection = self._connection
        most = LONGEST_PAUSE if connection is not None and not connection.pooled else LONGEST_PAUSE_POOLED
        with self._lock:
            pause = min(self._pause, most)
            self._pause = pause * 2
            if self._followers:
                pause = min(pause, max(0.0, self._follow_at - time.monotonic()))
        if self._missing:
            pause = min(pause, MISSING_FOR)
        return pause

    def _wait(self, seconds: float) -> None:
        """Wait for a ring, for the beginning of another wait, or for the next look."""
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        pgconn = None if self._connection is None else self._connection.pgconn
        if pgconn is not None:
            poller.register(pgconn.socket, select.POLLIN)
        if not self._rung:  # it may have come with an answer
            poller.poll(seconds * 1000)
            if pgconn is not None:
                self._take_rings(pgconn)
        if self._rung:
            with self._lock:
                self._pause = FIRST_PAUSE
        time.sleep(max(0.0, self._looked_at + BETWEEN_LOOKS - time.monotonic()))
        with suppress(BlockingIOError):
            os.read(self._wake_read, 65536)

    def _take_rings(self, pgconn: Any) -> None:
        pgconn.consume_input()
        while pgconn.notifies() is not None:
            self._rung = True

    def _ring(self, notify: Any) -> None:
        self._rung = True


def _call(sink: Callable[[Any], None], value: object, job_id: int) -> None:
    try:
        sink(value)
    except Exception:  # an event loop that was closed
        log.debug("a wait for job %s has gone", job_id, exc_info=True)


def _array(ids: Iterable[int]) -> str:
    return "{" + ",".join(map(str, ids)) + "}"


_watchers: dict[tuple[str, ...], Watcher] = {}
_making = threading.Lock()


def watcher_of(place: Place) -> Watcher:
    """Return the watcher of a database; all waits of this process share it."""
    watcher = _watchers.get(place.key)
    if watcher is None:
        with _making:
            watcher = _watchers.get(place.key)
            if watcher is None:
                watcher = _watchers[place.key] = Watcher(place)
    return watcher


def _forget_watchers() -> None:
    """In a forked child: the threads are gone, and the connections are the parent's."""
    global _making
    _watchers.clear()
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forget_watchers)
