"""Connections for pages and actions: a few that are kept, each used by one request at a time."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgjobs.core.config import settings
from pgjobs.core.errors import ConfigurationError, UsageError
from pgjobs.db.connection import connect
from pgjobs.db.installation import connection_name
from pgjobs.db.public_connect import database_url
from pgjobs.db.query import fetch_dicts, local_settings
from pgjobs.db.revision import check_schema
from pgjobs.db.roles import roles_of

if TYPE_CHECKING:
    from pgjobs.db.deadline import DeadlineConnection

MOST = 4  # connections of a process
WAIT = 5.0  # seconds for one of them
ANSWER_WITHIN = 30.0  # seconds; the time limit of a statement is far below
WITHIN = "SELECT set_config('statement_timeout', '20s', false), set_config('lock_timeout', '5s', false)"


class Connections:
    """`url`: None: the configured database. `as_reader`: pages use the role that may only read, where there is one."""

    def __init__(self, url: str | None = None, *, as_reader: bool = False, most: int = MOST) -> None:
        self._url = url
        self._as_reader = as_reader
        self._free: list[DeadlineConnection] = []
        weakref.finalize(self, _close, self._free)
        self._room = threading.BoundedSemaphore(most)
        self._role: str | None = None
        self._is_role_known = False

    @contextmanager
    def reading(self, timeout_ms: int) -> Iterator[DeadlineConnection]:
        """Yield a connection in a transaction that cannot write, with a time limit for each statement."""
        with self._taken() as connection:
            connection.read_only = True
            wanted = {"statement_timeout": str(timeout_ms)}
            if role := self._reader(connection):
                wanted["role"] = role
            with connection.transaction(), local_settings(connection, wanted):
                yield connection

    @contextmanager
    def writing(self) -> Iterator[DeadlineConnection]:
        """Yield a connection in autocommit mode, as the operations of `pgjobs.admin` prefer it."""
        with self._taken() as connection:
            connection.read_only = False
            if not connection.pooled:  # a statement that this process has given up must not do it later
                connection.execute(WITHIN)
            yield connection

    @contextmanager
    def _taken(self) -> Iterator[DeadlineConnection]:
        import psycopg

        if not self._room.acquire(timeout=WAIT):
            raise ConfigurationError("all connections of the dashboard are in use: try again in a moment.")
        try:
            connection = self._kept() or self._connect()
            try:
                yield connection
            except psycopg.OperationalError:
                if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    connection.close()
                raise
            finally:
                if not connection.closed:
                    self._free.append(connection)
        finally:
            self._room.release()

    def _kept(self) -> DeadlineConnection | None:
        """Return a connection that still answers: the server may have been restarted meanwhile."""
        import psycopg

        while self._free:
            try:
                connection = self._free.pop()
            except IndexError:  # another thread has taken the last one
                return None
            try:
                connection.execute("SELECT 1")
            except psycopg.OperationalError:
                connection.close()
                continue
            return connection
        return None

    def _connect(self) -> DeadlineConnection:
        url = self._url or database_url()
        connection = connect(url, application_name=connection_name("web"), answer_within=ANSWER_WITHIN)
        try:
            check_schema(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _reader(self, connection: DeadlineConnection) -> str | None:
        """Return the role that may only read, if pages are to use it, it is there, and this login may become it."""
        if self._as_reader and not self._is_role_known:
            try:
                wanted = roles_of(settings().schema).read
            except UsageError:  # the schema's name is too long for roles
                wanted = ""
            self._role = next((row["role"] for row in fetch_dicts(connection, "may_become", role=wanted)), None)
            self._is_role_known = True
        return self._role


def _close(connections: list[DeadlineConnection]) -> None:
    while connections:
        connections.pop().close()
