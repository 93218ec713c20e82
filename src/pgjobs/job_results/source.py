"""From what the caller has to the database in which to wait: an engine, a connection or a session of any kind."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from pgjobs.core.config import settings
from pgjobs.core.errors import EnqueueError, UsageError
from pgjobs.db.adapters.detect import runner_of
from pgjobs.db.url import libpq_url

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from pgjobs.core.callers import AsyncCaller, SyncCaller
    from pgjobs.db.adapters.detect import Run, RunAsync

    SyncSource: TypeAlias = SyncCaller | Engine
    AsyncSource: TypeAlias = AsyncCaller | AsyncEngine

_KINDS = (
    "a SQLAlchemy Engine, AsyncEngine, Session, Connection, AsyncSession or AsyncConnection, a psycopg Connection "
    "or AsyncConnection, or Django's connection"
)
_engines: WeakKeyDictionary[Any, Place] = WeakKeyDictionary()


class Place(NamedTuple):
    """A database: the key by which its waits are put together, and how libpq connects to it."""

    key: tuple[str, ...]
    conninfo: str

    def is_ours(self) -> bool:
        """Return True if it is certainly the database that this process is configured for."""
        url = settings().database_url
        if url is None:
            return False
        from psycopg.conninfo import conninfo_to_dict

        return self.server() == _place(conninfo_to_dict(libpq_url(url))).server()

    def server(self) -> set[str]:
        """Return the key without the role."""
        return {each for each in self.key if not each.startswith("user=") and each != "port=5432"}


class Source(NamedTuple):
    """What was given. `run`, `run_async`: run a statement in its transaction, if it is in one."""

    place: Place
    is_async: bool
    run: Run | None = None
    run_async: RunAsync | None = None

    def refuse_own(self, job_id: int) -> None:
        """Refuse to wait for a job that is not found because it was enqueued in the caller's own transaction.

        Raises:
            UsageError: it was.

        """
        if self.run is not None:
            _refuse_visible(job_id, self.run("visible_jobs", None, {"ids": [job_id]}))

    async def refuse_own_async(self, job_id: int) -> None:
        """Do the same for a coroutine."""
        if self.run_async is not None:
            _refuse_visible(job_id, await self.run_async("visible_jobs", None, {"ids": [job_id]}))


def _refuse_visible(job_id: int, visible: list[int]) -> None:
    if visible:
        raise UsageError(
            f"job {job_id} was enqueued in this transaction, so no worker sees it before it is committed: commit "
            "first, then wait."
        )


def source_of(conn: Any, name: str) -> Source:
    """Find out what was given to the function of this name.

    Raises:
        UsageError: it leads to no database.

    """
    if is_engine(conn):
        return Source(_place_of_engine(conn, may_connect=True), is_async=False)
    if is_async_engine(conn):
        return Source(_place_of_engine(conn.sync_engine, may_connect=False), is_async=True)
    try:
        run, run_async = runner_of(conn)
    except EnqueueError as error:
        raise refusal(name, conn) from error
    place, is_open = _place_of(conn)
    return Source(place, run_async is not None, run if is_open else None, run_async if is_open else None)


def refusal(name: str, conn: object) -> UsageError:
    """Return the error of a function that was given what leads to no database."""
    kind = "None" if conn is None else f"a {type(conn).__name__}"
    return UsageError(f"{name} cannot wait on {kind}: pass {_KINDS}.")


def is_engine(conn: object) -> bool:
    """Whether this is an engine of SQLAlchemy."""
    return _is(conn, "sqlalchemy.engine", "Engine")


def is_async_engine(conn: object) -> bool:
    """Whether this is an async one."""
    return _is(conn, "sqlalchemy.ext.asyncio", "AsyncEngine")


def _is(conn: object, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(conn, getattr(loaded, name))


def _place_of(conn: Any) -> tuple[Place, bool]:
    """Return the place of a connection or session, and whether it is in a transaction."""
    import psycopg

    if "django.db" in sys.modules:
        from pgjobs.db.adapters.django import driver_connection, wrapper_of

        wrapper = wrapper_of(conn)
        conn = conn if wrapper is None else driver_connection(wrapper)
    if isinstance(conn, psycopg.Connection | psycopg.AsyncConnection):
        return _place_of_psycopg(conn), conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    registry = getattr(conn, "registry", None)
    session = conn if registry is None else registry()  # of a scoped session
    is_open: bool = session.in_transaction()
    sync = getattr(session, "sync_session", None) or getattr(session, "sync_connection", None) or session
    engine = sync.get_bind() if hasattr(sync, "get_bind") else sync.engine
    return _place_of_engine(getattr(engine, "engine", engine), may_connect=sync is session), is_open


def _place_of_psycopg(conn: Any) -> Place:
    return _place({**conn.info.get_parameters(), "password": conn.info.password})


def _place_of_engine(engine: Any, *, may_connect: bool) -> Place:
    known = _engines.get(engine)
    if known is None:
        known = _engines[engine] = _find_place(engine, may_connect)
    return known


def _find_place(engine: Any, may_connect: bool) -> Place:
    if engine.dialect.name != "postgresql":
        raise UsageError(
            f"jobs are rows in PostgreSQL, and this is an engine for {engine.dialect.name}: pass one to the database "
            "that holds the tables of pgjobs."
        )
    if may_connect and engine.dialect.driver == "psycopg":  # which knows also what is not in the URL
        with engine.connect() as connection:
            return _place_of_psycopg(connection.connection.driver_connection)
    from psycopg import pq
    from psycopg.conninfo import conninfo_to_dict

    keywords = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    query = {name: value for name, value in engine.url.query.items() if name in keywords}
    if "ssl" in engine.url.query:  # asyncpg's word
        query["sslmode"] = engine.url.query["ssl"]
    url = engine.url.set(query=query).render_as_string(hide_password=False)
    return _place(conninfo_to_dict(libpq_url(url)))


def _place(parameters: dict[str, Any]) -> Place:
    from psycopg.conninfo import make_conninfo

    given = {name: str(value) for name, value in parameters.items() if value is not None and value != ""}
    key = tuple(f"{name}={given[name]}" for name in sorted(given) if name in ("host", "port", "dbname", "user"))
    kept = {name: value for name, value in given.items() if name not in ("application_name", "client_encoding")}
    return Place((*key, settings().schema), make_conninfo(**kept))
