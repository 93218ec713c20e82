"""SQLAlchemy's connections and sessions as a test has them; the async ones from inside of `greenlet_spawn`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session

from pgjobs.core.errors import UsageError
from pgjobs.db.adapters.detect import runner_of
from pgjobs.jobs.transaction import ConnectionKind
from pgjobs.testing.drivers import OPEN, not_lent
from pgjobs.testing.link import Answer, Block, Driver
from pgjobs.testing.signs import TestTransactionEndedError

if TYPE_CHECKING:
    from pgjobs.db.enqueue_columns import EnqueueColumns
    from pgjobs.jobs.transaction import Wanted

_PARAMETER = re.compile(r"%\((\w+)\)s")
_JSON = (114, 3802)  # oids of json and jsonb
_NOT_STREAMING = {"stream_results": False, "yield_per": None}


def sqlalchemy_driver(conn: Any) -> Driver | None:
    """Return the driver of a synchronous session or connection; None: it is neither."""
    if isinstance(conn, scoped_session):
        conn = conn.registry()
    if isinstance(conn, Session):
        return SqlAlchemyDriver(conn, conn.connection, conn)
    if isinstance(conn, Connection):
        return SqlAlchemyDriver(conn, lambda: conn, conn)
    return None


class SqlAlchemyDriver:
    """A Session or a Connection, with any driver. `found`: returns the connection; `nests`: has savepoints."""

    def __init__(self, conn: Any, found: Callable[[], Connection], nests: Any) -> None:
        self.conn = conn
        self._found = found
        self._nests = nests

    @property
    def connection(self) -> Connection:
        """The connection, in a transaction.

        Raises:
            UsageError: it commits each statement by itself.

        """
        connection = self._found()
        if connection.get_isolation_level() == "AUTOCOMMIT":
            raise UsageError(OPEN)
        return connection

    def run(self, sql: str, values: Any) -> Answer:
        """Run a statement, with the placeholders of the driver."""
        connection = self._found()
        is_asyncpg = connection.dialect.driver == "asyncpg"
        given: Any = values
        if is_asyncpg:
            sql, given = numbered(sql, values or {})
        try:
            result = connection.exec_driver_sql(sql, given or None, _NOT_STREAMING)
        except DBAPIError as error:
            raise _of_psycopg(error) from error
        cursor = result.cursor
        if cursor is None or cursor.description is None:
            return Answer([], result.rowcount, None)
        description: list[Any] = list(cursor.description)
        rows = [tuple(row) for row in cursor.fetchall()]
        rowcount = len(rows)
        result.close()
        if is_asyncpg:
            places = [place for place, column in enumerate(description) if column[1] in _JSON]
            rows = [_with_json(row, places) for row in rows] if places else rows
            description = [_Column(column[0]) for column in description]
        return Answer(rows, rowcount, description)

    def block(self) -> Block:
        """Begin a savepoint; a commit of the whole transaction is refused in it."""
        return _Nested(self._found(), self._nests)

    def lent(self, wanted: Wanted) -> Any:
        """Return the session or connection itself, or another kind on top of it."""
        connection = self._found()
        match wanted.kind:
            case ConnectionKind.SESSION:
                if isinstance(self.conn, wanted.made):
                    return self.conn
                return wanted.made(bind=connection, join_transaction_mode="create_savepoint")
            case ConnectionKind.CONNECTION:
                return connection
            case ConnectionKind.PSYCOPG if connection.dialect.driver == "psycopg":
                return connection.connection.driver_connection
        raise UsageError(not_lent(wanted, self.conn))

    def enqueue(self, name: str, columns: EnqueueColumns, values: dict[str, Any]) -> list[int]:
        """Enqueue as the caller does."""
        run, _ = runner_of(self._nests)
        assert run is not None  # noqa: S101 (for mypy)
        return run(name, columns, values)

    def parameter(self, name: str) -> str | None:
        """Return what the server has said of a setting."""
        return self.run("SELECT current_setting(%(name)s, true)", {"name": name}).rows[0][0] or "UTF8"


class _Column(tuple[str]):
    """A column of a result, with its name as psycopg has it."""

    name: str

    def __new__(cls, name: str) -> _Column:
        made = super().__new__(cls, (name,))
        made.name = name
        return made


class _Nested:
    def __init__(self, connection: Connection, nests: Any) -> None:
        self._connection = connection
        self._nested = nests.begin_nested()
        event.listen(connection, "commit", _refuse)

    def leave(self, *, undo: bool) -> None:
        if event.contains(self._connection, "commit", _refuse):
            event.remove(self._connection, "commit", _refuse)
        if not self._nested.is_active:  # a rollback, or a commit, of the job's own has ended it
            return
        if undo:
            self._nested.rollback()
        else:
            self._nested.commit()


def _refuse(_: Connection) -> None:
    raise TestTransactionEndedError("a job")


@cache
def _numbered(sql: str) -> tuple[str, list[str]]:
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"\0{found[1]}\0"

    return _PARAMETER.sub(number, sql).replace("%%", "%"), names


def numbered(sql: str, values: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """Return a statement as asyncpg takes it, and its values in their order.

    asyncpg asks the server for the type of each value. A text is sent as one, and cast there: `'{1,2}'` is an array.
    """
    text, names = _numbered(sql)
    for number, name in enumerate(names, 1):
        cast = "::text" if isinstance(values[name], str) else ""
        text = text.replace(f"\0{name}\0", f"${number}{cast}")
    return text, tuple(values[name] for name in names)


def _with_json(row: tuple[Any, ...], places: list[int]) -> tuple[Any, ...]:
    values = list(row)
    for place in places:
        if isinstance(values[place], str):
            values[place] = json.loads(values[place])
    return tuple(values)


def _of_psycopg(error: DBAPIError) -> Exception:
    """Return an error as psycopg's, which is what workers' code knows."""
    import psycopg

    original = error.orig
    if isinstance(original, psycopg.Error):
        return original
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    try:
        kind = psycopg.errors.lookup(state) if state else psycopg.DatabaseError
    except KeyError:
        kind = psycopg.DatabaseError
    return kind(str(original))


def on_top_of(raw: Any, wanted: Wanted) -> Any:
    """Return a Connection or Session of SQLAlchemy on a connection of psycopg: it neither commits nor rolls back."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: raw, poolclass=StaticPool, pool_reset_on_return=None
    )
    dialect: Any = engine.dialect
    dialect.do_commit = dialect.do_rollback = dialect.do_close = lambda dbapi_connection: None
    dialect.initialize = lambda connection: None
    connection = engine.connect()
    if wanted.kind is ConnectionKind.CONNECTION:
        return connection
    return wanted.made(bind=connection, join_transaction_mode="create_savepoint")
