"""Every kind of connection that jobs can be enqueued on, behind one face, so that each test runs on all of them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
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
