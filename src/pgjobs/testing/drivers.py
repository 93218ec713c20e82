"""The synchronous kinds of connection that a test may have: psycopg's, SQLAlchemy's and Django's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import UsageError
from pgjobs.db.adapters.detect import runner_of
from pgjobs.jobs.transaction import ConnectionKind
from pgjobs.testing.link import Answer, Block, Driver

if TYPE_CHECKING:
    from pgjobs.db.enqueue_columns import EnqueueColumns
    from pgjobs.jobs.transaction import Wanted

OPEN = (
    "a test of jobs needs a connection in an open transaction, which the test rolls back at its end; in autocommit "
    "mode each statement would stay: begin one, as in `with conn.transaction(force_rollback=True): …`."
)


def driver_of(conn: Any) -> Driver:
    """Return what runs statements on a synchronous connection or session.

    Raises:
        EnqueueError: jobs cannot be enqueued on it.
        UsageError: it is async; or it commits each statement by itself; or no psycopg is below it.

    """
    run, _ = runner_of(conn)  # refuses what enqueue refuses
    if run is None:
        raise UsageError(f"{type(conn).__name__} is async: use `AsyncJobs(conn)`, and await what it does.")
    psycopg: Any = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(conn, psycopg.Connection):
        return PsycopgDriver(conn, lambda: conn)
    if "sqlalchemy" in sys.modules:
        from pgjobs.testing.sqlalchemy_driver import sqlalchemy_driver

        if (driver := sqlalchemy_driver(conn)) is not None:
            return driver
    from pgjobs.db.adapters.django import driver_connection, wrapper_of

    wrapper = wrapper_of(conn)
    return DjangoDriver(conn, lambda: driver_connection(wrapper), wrapper)


class PsycopgDriver:
    """A psycopg Connection. `found`: returns it; Django makes another one when it has lost one."""

    def __init__(self, conn: Any, found: Callable[[], Any]) -> None:
        self.conn = conn
        self._found = found

    @property
    def raw(self) -> Any:
        """The connection of psycopg, in a transaction.

        Raises:
            UsageError: it commits each statement by itself.

        """
        raw = self._found()
        if raw.info.transaction_status == 0:  # idle
            if raw.autocommit:
                raise UsageError(OPEN)
            raw.execute("SELECT 1")  # or the first savepoint would be a transaction, and commit
        return raw

    def run(self, sql: str, values: Any) -> Answer:
        """Run a statement on a plain cursor: the connection's own may read other placeholders, or make other rows."""
        from psycopg import Cursor
        from psycopg.rows import tuple_row

        with Cursor(self.raw, row_factory=tuple_row) as cursor:
            cursor.execute(sql, values, binary=True)
            rows = cursor.fetchall() if cursor.description else []
            return Answer(rows, cursor.rowcount, cursor.description)

    def block(self) -> Block:
        """Begin a savepoint in which psycopg refuses to commit."""
        return _PsycopgBlock(self.raw)

    def lent(self, wanted: Wanted) -> Any:
        """Return the connection itself, or one of SQLAlchemy on top of it."""
        if wanted.kind is ConnectionKind.PSYCOPG:
            return self.raw
        if wanted.kind.is_async:
            raise UsageError(not_lent(wanted, self.conn))
        from pgjobs.testing.sqlalchemy_driver import on_top_of

        return on_top_of(self.raw, wanted)

    def enqueue(self, name: str, columns: EnqueueColumns, values: dict[str, Any]) -> list[int]:
        """Enqueue as the caller does."""
        run, _ = runner_of(self.conn)
        assert run is not None  # noqa: S101 (for mypy)
        return run(name, columns, values)

    def parameter(self, name: str) -> str | None:
        """Return what the server has said of a setting."""
        found: str | None = self._found().info.parameter_status(name)
        return found


class _PsycopgBlock:
    def __init__(self, raw: Any) -> None:
        self._block = raw.transaction()
        self._block.__enter__()

    def leave(self, *, undo: bool) -> None:
        from psycopg import Rollback

        if undo:
            error = Rollback(self._block)
            with suppress(Rollback):
                self._block.__exit__(Rollback, error, None)
        else:
            self._block.__exit__(None, None, None)


class DjangoDriver(PsycopgDriver):
    """Django's connection, or that of an alias."""

    def __init__(self, conn: Any, found: Callable[[], Any], wrapper: Any) -> None:
        super().__init__(conn, found)
        self._wrapper = wrapper

    def block(self) -> Block:
        """Begin a savepoint of Django's, so that `atomic()` in the job is one below it."""
        _ = self.raw
        return _DjangoBlock(self._wrapper)


class _DjangoBlock:
    def __init__(self, wrapper: Any) -> None:
        from django.db import transaction

        self._transaction, self._alias = transaction, wrapper.alias
        self._wrapper = wrapper
        self._atomic: Any = transaction.atomic(using=wrapper.alias) if wrapper.in_atomic_block else None
        if self._atomic is None:  # no test case of Django's: psycopg is in a transaction, and Django does not know
            self._atomic = _PsycopgBlock(wrapper.connection)
        else:
            self._atomic.__enter__()

    def leave(self, *, undo: bool) -> None:
        if isinstance(self._atomic, _PsycopgBlock):
            self._atomic.leave(undo=undo)
            return
        if undo:
            self._transaction.set_rollback(True, using=self._alias)
        self._atomic.__exit__(None, None, None)


def not_lent(wanted: Wanted, conn: Any) -> str:
    """Return why a job cannot have this connection."""
    return (
        f"a job with transaction=True takes {wanted.kind.value[1]}, and the test has {type(conn).__name__}: give the "
        "test a connection of that kind, or run the job by a real worker (@pytest.mark.pgjobs_worker)."
    )
