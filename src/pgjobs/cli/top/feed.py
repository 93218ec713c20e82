"""The connections of `pgjobs top`: one that reads, and is made again when it is lost, and one for each action."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pgjobs.cli.top.snapshot import take_snapshot
from pgjobs.core.errors import PgjobsError
from pgjobs.core.text import one_line
from pgjobs.db.connection import connect
from pgjobs.db.installation import connection_name
from pgjobs.db.revision import check_schema
from pgjobs.db.row_security import check_visible

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from pgjobs.cli.top.snapshot import Snapshot
    from pgjobs.db.deadline import DeadlineConnection

ANSWER_WITHIN = 5.0  # seconds
T = TypeVar("T")


class UnreadableError(Exception):
    """Nothing could be read or done. Its text is one line."""


class Feed:
    """Reads and acts. `read` is for one thread at a time; so is `act`, for another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._kept: DeadlineConnection | None = None

    def check(self) -> None:
        """Connect once.

        Raises:
            ConfigurationError: it cannot be reached, or its tables have another revision.

        """
        self._kept = self._connect()

    def read(self, part: str) -> Snapshot:
        """Take a snapshot.

        Raises:
            UnreadableError: it could not be read; the next call connects again, if that is why.

        """
        import psycopg

        try:
            if self._kept is None or self._kept.closed:
                self._kept = self._connect()
            return take_snapshot(self._kept, part)
        except (psycopg.Error, PgjobsError, OSError) as error:
            if isinstance(error, psycopg.Error | OSError):
                self.close()
            raise UnreadableError(one_line(error)) from error

    def act(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Do something on a connection of its own.

        Raises:
            UnreadableError: it failed.

        """
        import psycopg

        try:
            with self._connect() as conn:
                return work(conn)
        except (psycopg.Error, PgjobsError, OSError) as error:
            raise UnreadableError(one_line(error)) from error

    def close(self) -> None:
        """Close the connection that reads."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _connect(self) -> DeadlineConnection:
        conn = connect(self._url, application_name=connection_name("top"), answer_within=ANSWER_WITHIN)
        try:
            check_schema(conn)
            check_visible(conn)
        except BaseException:
            conn.close()
            raise
        return conn
