"""The one connection of a process for what its steps read, and for waits. It is made when the first one needs it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pgjobs.core.config import settings
from pgjobs.db.query import fetch_dicts
from pgjobs.jobs.outcome import Snooze

if TYPE_CHECKING:
    import psycopg

AGAIN = 2.0  # seconds until a step runs again that could not read what it needs
ANSWER_WITHIN = 30.0  # seconds


_lent: list[Callable[..., list[dict[str, Any]]]] = []


@contextmanager
def lend(rows: Callable[..., list[dict[str, Any]]]) -> Iterator[None]:
    """Have `StepConnection.rows` ask this instead for a while: a test has all on its own connection."""
    _lent.append(rows)
    try:
        yield
    finally:
        _lent.remove(rows)


class StepConnection:
    """A connection that is shared by the jobs of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self._pid = os.getpid()

    def rows(self, name: str, **values: Any) -> list[dict[str, Any]]:
        """Run a statement, and return its rows.

        Raises:
            Snooze: PostgreSQL cannot be reached now. The attempt does not count.

        """
        from psycopg import InterfaceError, OperationalError

        if _lent:
            return _lent[-1](name, **values)
        with self._lock:
            try:
                return fetch_dicts(self._connected(), name, **values)
            except (OperationalError, InterfaceError) as error:
                self._close()
                raise Snooze(AGAIN) from error
            except BaseException:  # a timeout, perhaps, in the middle of an answer
                self._close()
                raise

    def _connected(self) -> psycopg.Connection:
        from pgjobs.db.connection import connect
        from pgjobs.db.installation import connection_name

        if self._pid != os.getpid():  # a fork of a job: the connection is its parent's
            self._connection, self._pid = None, os.getpid()
        if self._connection is None or self._connection.closed:
            url = settings().database_url
            assert url is not None  # noqa: S101 (workers and their children have one)
            self._connection = connect(url, application_name=connection_name("steps"), answer_within=ANSWER_WITHIN)
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
