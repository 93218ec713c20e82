"""A connection that is made again when it is lost, with a growing pause, and one log line per outage."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pgjobs.core.errors import ConfigurationError
from pgjobs.db.connection import pinned
from pgjobs.db.url import mask

if TYPE_CHECKING:
    import psycopg

    from pgjobs.db.deadline import DeadlineConnection

log = logging.getLogger("pgjobs.connection")
T = TypeVar("T")
MAX_PAUSE = 5.0  # seconds between tries


class Stop(Protocol):
    """What ends the tries: a `threading.Event`, or something that waits like one."""

    def wait(self, timeout: float, /) -> bool:
        """Wait up to `timeout` seconds for the stop, and return True if it was asked for."""
        ...


class Stopped(Exception):
    """The worker stops, so the connection is not tried any longer."""


class ReconnectingConnection:
    """One connection of a worker, for one thread. `connect` makes it; `stop` ends the tries."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], DeadlineConnection],
        stop: Stop,
        *,
        async_commit: bool = False,
        longest_pause: float = MAX_PAUSE,
    ) -> None:
        self._name = name
        self._connect = connect
        self._stop = stop
        self._async_commit = async_commit
        self._longest_pause = longest_pause
        self.pooled = False  # see DeadlineConnection
        self._connection: DeadlineConnection | None = None
        self._cursor: psycopg.Cursor[Any] | None = None
        self.generation = 0  # how often it was connected
        self.trouble: str | None = None  # why PostgreSQL cannot be used now; for other threads to read

    @property
    def connection(self) -> DeadlineConnection:
        """The connection, made if necessary.

        Raises:
            ConfigurationError, psycopg.OperationalError: it cannot be made now.

        """
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            self._cursor = None
            self.pooled = self._connection.pooled
            self.generation += 1
        return self._connection

    @property
    def cursor(self) -> psycopg.Cursor[Any]:
        """One cursor of the connection, for binary results."""
        connection = self.connection
        if self._cursor is None:
            self._cursor = connection.cursor(binary=True)
        return self._cursor

    @contextmanager
    def hot_cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        """Return the cursor for statements of the hot path. Behind a pooler their plans are pinned for this block."""
        connection, cursor = self.connection, self.cursor
        if self.pooled:
            with pinned(connection, async_commit=self._async_commit):
                yield cursor
        else:
            yield cursor

    def run(self, work: Callable[[ReconnectingConnection], T], *, patience: float | None = None) -> T:
        """Run `work` with this connection; when it breaks, reconnect and run `work` again.

        `work` must be safe to repeat: if an answer is lost, the statement may have been executed. `patience`: once the
        stop was asked for, give up as soon as the outage has lasted this many seconds (None: at once).

        Raises:
            Stopped: the worker stops, and the server still cannot be reached.

        """
        import psycopg

        pause, began = 0.05, 0.0
        while True:
            try:
                result = work(self)
            except (psycopg.Error, ConfigurationError) as error:
                # An outage, a full disk, a migration under way: all of them pass, so the worker keeps trying.
                if not began:
                    began = time.monotonic()
                    reason = mask(str(error).strip().partition("\n")[0]) or type(error).__name__
                    log.warning("%s: PostgreSQL cannot be used now; retrying until it can: %s", self._name, reason)
                    self.trouble = reason
                if not isinstance(error, psycopg.errors.LockNotAvailable):
                    self.close()
                if self._stop.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311 (spreads a herd, no secret)
                    if patience is None or time.monotonic() - began > patience:
                        raise Stopped from error
                    time.sleep(pause)
                pause = min(self._longest_pause, pause * 2)
            else:
                if began:
                    self.trouble = None
                    log.warning("%s: PostgreSQL is back after %.1f s", self._name, time.monotonic() - began)
                return result

    def close(self) -> None:
        """Close the connection; the next use makes a new one."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            connection.close()
