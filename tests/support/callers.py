"""Every kind of connection that jobs can be enqueued on, behind one face, so that each test runs on all of them."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from pgjobs.db.url import sqlalchemy_url


@dataclass
class Caller:
    """A connection or session in a transaction; the rest works on that transaction."""

    conn: Any
    commit: Callable[[], Awaitable[None]]
    rollback: Callable[[], Awaitable[None]]
    savepoint: Callable[[], Any]
    """An asynchronous context manager; an exception inside rolls back to its beginning."""


async def settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _caller(conn: Any, savepoint: Callable[[], Any]) -> Caller:
    async def commit() -> None:
        await settled(conn.commit())

    async def rollback() -> None:
        await settled(conn.rollback())

    @asynccontextmanager
    async def nested() -> AsyncIterator[None]:
        made = savepoint()
        if hasattr(made, "__aenter__"):
            async with made:
                yield
        else:
            with made:
                yield

    return Caller(conn, commit, rollback, nested)


@asynccontextmanager
async def _psycopg(url: str) -> AsyncIterator[Caller]:
    with psycopg.connect(url) as conn:
        yield _caller(conn, conn.transaction)


@asynccontextmanager
async def _psycopg_async(url: str) -> AsyncIterator[Caller]:
    async with await psycopg.AsyncConnection.connect(url) as conn:
        yield _caller(conn, conn.transaction)


def _sync(kind: str) -> Callable[[str], Any]:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Caller]:
        engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
        if kind == "connection":
            with engine.connect() as conn:
                yield _caller(conn, conn.begin_nested)
        elif kind == "session":
            with Session(engine) as session:
                yield _caller(session, session.begin_nested)
        else:
            scoped: scoped_session[Session] = scoped_session(sessionmaker(engine))
            try:
                yield _caller(scoped, scoped.begin_nested)
            finally:
                scoped.remove()

    return opened


def _async(kind: str, driver: str) -> Callable[[str], Any]:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Caller]:
        engine = create_async_engine(sqlalchemy_url(url, driver), poolclass=NullPool)
        try:
            if kind == "connection":
                async with engine.connect() as conn:
                    yield _caller(conn, conn.begin_nested)
            elif kind == "session":
                async with AsyncSession(engine) as session:
                    yield _caller(session, session.begin_nested)
            else:
                scoped: async_scoped_session[AsyncSession] = async_scoped_session(async_sessionmaker(engine), lambda: 1)
                try:
                    yield _caller(scoped, scoped.begin_nested)
                finally:
                    await scoped.remove()
        finally:
            await engine.dispose()
            await asyncio.sleep(0.01)  # asyncpg's sockets are closed by the event loop, a turn later

    return opened


def django_wrapper(url: str) -> Any:
    """Return a DatabaseWrapper of Django's to this database, that of an alias of its own."""
    django, db = import_module("django.conf"), import_module("django.db")
    if not django.settings.configured:
        django.settings.configure(USE_TZ=True)
        import_module("django").setup()
    given = conninfo_to_dict(url)
    alias = f"alias_{given['dbname']}"
    options = {
        name: value for name, value in given.items() if name not in ("host", "port", "user", "password", "dbname")
    }
    db.connections.settings |= db.connections.configure_settings(
        {
            "default": {},
            alias: {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": given["dbname"],
                "HOST": given.get("host"),
                "PORT": given.get("port"),
                "USER": given.get("user"),
                "PASSWORD": given.get("password"),
                "OPTIONS": options,
            },
        }
    )
    return db.connections[alias]


@asynccontextmanager
async def _django(url: str) -> AsyncIterator[Caller]:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # the tests of all kinds are coroutines
    wrapper = django_wrapper(url)
    wrapper.set_autocommit(False)
    atomic = import_module("django.db").transaction.atomic
    try:
        yield _caller(wrapper, lambda: atomic(using=wrapper.alias))
    finally:
        wrapper.close()
        del import_module("django.db").connections[wrapper.alias]


KINDS: dict[str, Callable[[str], Any]] = {
    "psycopg Connection": _psycopg,
    "psycopg AsyncConnection": _psycopg_async,
    "Connection": _sync("connection"),
    "Session": _sync("session"),
    "scoped_session": _sync("scoped"),
    "AsyncConnection on psycopg": _async("connection", "psycopg"),
    "AsyncSession on psycopg": _async("session", "psycopg"),
    "AsyncConnection on asyncpg": _async("connection", "asyncpg"),
    "AsyncSession on asyncpg": _async("session", "asyncpg"),
    "async_scoped_session on asyncpg": _async("scoped", "asyncpg"),
}
if find_spec("django") is not None:
    KINDS["Django"] = _django
