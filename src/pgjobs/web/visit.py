"""One request to a page: its connection, what was asked for, and what took too long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.db.query import MAX_ID, clock

if TYPE_CHECKING:
    import psycopg

    from pgjobs.web.access import User

T = TypeVar("T")
MAX_FILTER = 300  # characters


@dataclass(frozen=True)
class Visit:
    """`late`: what was left out because it took too long. `shared`: what pages of this app keep between requests."""

    conn: psycopg.Connection[Any]
    user: User
    query: Mapping[str, str]
    path: Mapping[str, Any]
    shared: Any
    now: datetime
    late: list[str] = field(default_factory=list)

    def look(self, what: str, work: Callable[[], T]) -> T | None:
        """Return what `work` reads; if that takes too long, note it for the banner, and return None."""
        from psycopg.errors import LockNotAvailable, QueryCanceled

        try:
            with self.conn.transaction():
                return work()
        except (QueryCanceled, LockNotAvailable):
            self.late.append(what)
            return None

    def rows(self, what: str, work: Callable[[], list[T]]) -> list[T]:
        """Return the rows that `work` reads; if that takes too long, none."""
        return self.look(what, work) or []

    def asked(self, name: str) -> str | None:
        """Return a filter of the query, if it was given.

        Raises:
            UsageError: it cannot be one.

        """
        value = self.query.get(name, "").strip()
        if len(value) > MAX_FILTER or "\0" in value:
            raise UsageError(f"{name}={shorten_repr(value)} cannot be looked for.")
        return value or None

    def several(self, name: str) -> list[str]:
        """Return all values of a name in the query, each once.

        Raises:
            UsageError: one of them cannot be a filter.

        """
        getlist = getattr(self.query, "getlist", None)
        values = getlist(name) if getlist else [self.query[name]] if name in self.query else []
        for value in values:
            if len(value) > MAX_FILTER or "\0" in value:
                raise UsageError(f"{name}={shorten_repr(value)} cannot be looked for.")
        return [*dict.fromkeys(value for value in values if value)]

    def number(self, name: str) -> int | None:
        """Return a number of the query, if it was given.

        Raises:
            UsageError: it is not the number of a row.

        """
        value = self.asked(name)
        return None if value is None else whole(name, value)

    def moment(self, name: str) -> datetime | None:
        """Return a time of the query, if it was given.

        Raises:
            UsageError: it is not one.

        """
        value = self.asked(name)
        try:
            return None if value is None else datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            raise UsageError(f"{name}={shorten_repr(value)}: give a time.") from None

    def id(self) -> int:
        """Return the id that is part of the page's address.

        Raises:
            NotFoundError: it cannot be one.

        """
        try:
            return whole("id", str(self.path["id"]))
        except UsageError as error:
            raise NotFoundError(str(error)) from None


@dataclass(frozen=True)
class Page:
    """What a page shows: a template and its values."""

    template: str
    values: dict[str, Any]
    live: int = 0
    """Seconds after which it is looked at again, while it is visible; 0: never."""


def whole(name: str, value: str) -> int:
    """Return a number of a row.

    Raises:
        UsageError: it cannot be one.

    """
    if value.isascii() and value.isdigit() and len(value) < 20 and int(value) <= MAX_ID:
        return int(value)
    raise UsageError(f"{name}={shorten_repr(value)}: give a whole number from 0.")


def now_of(conn: psycopg.Connection[Any]) -> datetime:
    """Return PostgreSQL's time."""
    return clock(conn)
