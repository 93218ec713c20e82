"""The public way to the configured database: `pgjobs.connect`, `connect_async` and `database_url`.

These give plain psycopg connections. Workers and commands use `pgjobs.db.connection`, which adds deadlines.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pgjobs.core.config import settings
from pgjobs.db.choose_database import embedded_directory, no_database
from pgjobs.db.connection import translated_errors
from pgjobs.db.url import libpq_url, sqlalchemy_url

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType

    import psycopg


def database_url(driver: str = "psycopg") -> str:
    """Return the URL of the configured database in SQLAlchemy's form, for `create_engine` or `create_async_engine`.

    It is `PGJOBS_DATABASE_URL` or `configure(database_url=…)`, whatever form that has; else the URL of the embedded
    PostgreSQL that runs in `./.pgjobs/`. `driver`: "psycopg" (sync and async) or "asyncpg".

    Raises:
        ConfigurationError: no database is configured, or its URL is not a PostgreSQL URL.

    """
    return sqlalchemy_url(_configured_url(), driver)


def connect(*, autocommit: bool = False) -> psycopg.Connection:
    """Open a psycopg connection to the configured database (see `database_url`), and return it.

    As a context manager it commits at the end of the block, rolls back after an exception, and closes:
    `with pgjobs.connect() as conn: enqueue(conn, send, 42)`. `autocommit`: commit each statement by itself, as the
    functions of `pgjobs.admin` prefer it when they change many jobs.

    Raises:
        ConfigurationError: no database is configured, its URL cannot be used, or the server cannot be reached.

    """
    import psycopg

    with _connecting() as libpq:
        return psycopg.connect(libpq, autocommit=autocommit)


def connect_async(*, autocommit: bool = False) -> ConnectAsync:
    """Open a psycopg `AsyncConnection` to the configured database (see `database_url`).

    Use it as `async with pgjobs.connect_async() as conn:`, which commits, rolls back and closes as `connect` does, or
    as `conn = await pgjobs.connect_async()`. `autocommit`: commit each statement by itself.

    Raises:
        ConfigurationError: as `connect`, when it is awaited or entered.

    """
    return ConnectAsync(autocommit)


class ConnectAsync:
    """What `connect_async` returns: it connects when it is awaited or entered."""

    def __init__(self, autocommit: bool) -> None:
        self._autocommit = autocommit
        self._connection: psycopg.AsyncConnection | None = None

    def __await__(self) -> Generator[Any, None, psycopg.AsyncConnection]:
        return self._connect().__await__()

    async def __aenter__(self) -> psycopg.AsyncConnection:
        self._connection = await self._connect()
        return await self._connection.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._connection is not None  # noqa: S101 (__aenter__ has set it)
        await self._connection.__aexit__(kind, error, traceback)

    async def _connect(self) -> psycopg.AsyncConnection:
        import psycopg

        with _connecting() as libpq:
            return await psycopg.AsyncConnection.connect(libpq, autocommit=self._autocommit)


@contextmanager
def _connecting() -> Iterator[str]:
    """Yield the libpq URL; errors of connecting become one line without the password."""
    libpq = libpq_url(_configured_url())
    with translated_errors(libpq):
        yield libpq


def _configured_url() -> str:
    """Return the URL of the settings, or that of the embedded PostgreSQL in the current folder.

    Raises:
        ConfigurationError: there is neither.

    """
    if url := settings().database_url:
        return url
    try:
        return (embedded_directory() / "url").read_text().strip()
    except OSError:
        raise no_database("call pgjobs.configure(database_url=…)") from None
