"""The psycopg connection behind a caller's connection or session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import UsageError

if TYPE_CHECKING:
    import psycopg


def psycopg_connection(conn: Any) -> psycopg.Connection[Any]:
    """Return the psycopg connection behind a SQLAlchemy session or connection, or the connection itself.

    Raises:
        UsageError: it is not a connection of psycopg.

    """
    import psycopg

    if "sqlalchemy" in sys.modules:
        from sqlalchemy import Connection
        from sqlalchemy.orm import Session, scoped_session

        if isinstance(conn, scoped_session | Session):
            conn = conn.connection()
        if isinstance(conn, Connection):
            conn = conn.connection.driver_connection
    if not isinstance(conn, psycopg.Connection):
        raise UsageError(
            f"cannot ask on a {type(conn).__module__.partition('.')[0]} {type(conn).__name__}: pass a psycopg "
            "Connection, or a SQLAlchemy Session or Connection of an engine for postgresql+psycopg."
        )
    return conn
