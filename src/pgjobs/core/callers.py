"""The connections and sessions that callers pass, for annotations alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Protocol, TypeAlias

    import psycopg
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    class DjangoConnection(Protocol):
        """Django's `connection`, or `connections[alias]`: Django itself has no types, and need not be installed."""

        alias: str
        in_atomic_block: bool

        def ensure_connection(self) -> None:
            """Connect."""

        def validate_thread_sharing(self) -> None:
            """Refuse other threads."""

    SyncCaller: TypeAlias = Session | scoped_session[Any] | Connection | psycopg.Connection[Any] | DjangoConnection
    AsyncCaller: TypeAlias = AsyncSession | async_scoped_session[Any] | AsyncConnection | psycopg.AsyncConnection[Any]
