"""A test's own connection, as workers' code knows connections: it runs the same statements, in one transaction.

Workers commit each statement, and a test commits none. So `now()`, the beginning of the transaction, is not the time
that it would be in a worker: here it is the beginning of the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from pgjobs.db.statements import statement

if TYPE_CHECKING:
    from typing import Self

    from pgjobs.db.enqueue_columns import EnqueueColumns
    from pgjobs.jobs.transaction import Wanted

T = TypeVar("T")


class Answer(NamedTuple):
    """What a statement has returned. `description`: of its columns; None: it returns no rows."""

    rows: list[tuple[Any, ...]]
    rowcount: int
    description: Sequence[Any] | None


class Block(Protocol):
    """A savepoint around what one job does."""

    def leave(self, *, undo: bool) -> None:
        """End it, and undo what was done in it, if so asked.

        Raises:
            Exception: it has gone, because the job has ended the transaction.

        """


class Driver(Protocol):
    """One kind of connection."""

    conn: Any
    """What the caller has given."""

    def run(self, sql: str, values: Any) -> Answer:
        """Run a statement in psycopg's form.

        Raises:
            psycopg.Error: PostgreSQL refuses it, whatever the driver.

        """

    def block(self) -> Block:
        """Begin a savepoint."""

    def lent(self, wanted: Wanted) -> Any:
        """Return what a job with transaction=True gets.

        Raises:
            UsageError: this connection is of another kind, and cannot be that.

        """

    def enqueue(self, name: str, columns: EnqueueColumns, values: dict[str, Any]) -> list[int]:
        """Enqueue as the caller does, and return the ids."""

    def parameter(self, name: str) -> str | None:
        """Return what the server has said of a setting."""


class Link:
    """What producers and acknowledgers take for their `ReconnectingConnection`: it never reconnects, nor commits."""

    pooled = False
    generation = 1
    trouble: str | None = None

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.connection = Connection(driver)

    @property
    def cursor(self) -> Cursor:
        """A cursor."""
        return Cursor(self.connection)

    @contextmanager
    def hot_cursor(self) -> Iterator[Cursor]:
        """Do the same, as a context manager."""
        yield Cursor(self.connection)

    def run(self, work: Callable[[Any], T], *, patience: float | None = None) -> T:
        """Run `work` with this."""
        return work(self)

    def close(self) -> None:
        """Do nothing: it is the test's."""

    def run_as_is(self, name: str, **values: Any) -> None:
        """Run a statement in which `now()` is the beginning of the transaction."""
        self.driver.run(statement(name), values)

    def rows(self, name: str, **values: Any) -> list[dict[str, Any]]:
        """Run a statement by its name, and return its rows."""
        return self.connection.cursor(row_factory=dict).execute(statement(name), values).fetchall()


class Connection:
    """Looks like psycopg's to what runs workers' statements."""

    closed = False
    pooled = False

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._savepoints = 0
        self.info = _Info(driver)

    def execute(self, sql: str, values: Any = None) -> Cursor:
        """Run a statement on a new cursor."""
        return Cursor(self).execute(sql, values)

    def cursor(self, *, row_factory: Any = None, **_: Any) -> Cursor:
        """Return a cursor. `row_factory`: workers' code has those of tuples and of dictionaries."""
        return Cursor(self, named=getattr(row_factory, "__name__", "") in ("dict_row", "dict"))

    def answer(self, sql: str, values: Any) -> Answer:
        """Run a statement."""
        return self._driver.run(real_time(sql), values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a savepoint, as psycopg does in a transaction."""
        self._savepoints += 1
        name = f"pgjobs_test_{self._savepoints}"
        self._driver.run(f"SAVEPOINT {name}", None)
        try:
            yield
        except BaseException:
            self._driver.run(f"ROLLBACK TO SAVEPOINT {name}", None)
            self._driver.run(f"RELEASE SAVEPOINT {name}", None)
            raise
        else:
            self._driver.run(f"RELEASE SAVEPOINT {name}", None)
        finally:
            self._savepoints -= 1


class _Info:
    encoding = "utf-8"

    def __init__(self, driver: Driver) -> None:
        self.parameter_status = driver.parameter


class Cursor:
    """Looks like psycopg's."""

    def __init__(self, connection: Connection, *, named: bool = False) -> None:
        self.connection = connection
        self.rowcount = -1
        self.description: Sequence[Any] | None = None
        self._named = named
        self._rows: list[Any] = []

    def execute(self, sql: str, values: Any = None, **_: Any) -> Cursor:
        """Run a statement, and read all that it returns."""
        self._rows, self.rowcount, self.description = self.connection.answer(sql, values)
        if self._named:
            names = [column[0] for column in self.description or ()]
            self._rows = [dict(zip(names, row, strict=True)) for row in self._rows]
        return self

    def fetchone(self) -> Any:
        """Return the next row."""
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        rows, self._rows = self._rows, []
        return rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@cache
def real_time(sql: str) -> str:
    """Return a worker's statement for a transaction that lasts as long as a test.

    >>> real_time("SELECT now(), clock_timestamp()")
    'SELECT statement_timestamp(), clock_timestamp()'

    """
    return sql.replace("now()", "statement_timestamp()")
