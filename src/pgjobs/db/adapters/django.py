"""Enqueueing on Django's connection: on the one of psycopg below it, and so in the transaction that Django has there.

It is recognised without importing Django: a caller that has such a connection has imported it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import EnqueueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import psycopg

    from pgjobs.db.enqueue_columns import EnqueueColumns


def wrapper_of(conn: Any) -> Any:
    """Return Django's DatabaseWrapper; of `django.db.connection`, the one that it stands for here; None: it is neither.

    Raises:
        EnqueueError: it is one to another database than PostgreSQL, or not on psycopg 3.

    """
    base = sys.modules.get("django.db.backends.base.base")
    if base is None:
        return None
    proxy = sys.modules.get("django.utils.connection")
    if proxy is not None and isinstance(conn, proxy.ConnectionProxy):
        conn = sys.modules["django.db"].connections[conn.alias]
    if not isinstance(conn, base.BaseDatabaseWrapper):
        return None
    if conn.vendor != "postgresql":
        raise EnqueueError(
            f"jobs are rows in PostgreSQL, and the alias {conn.alias!r} of Django's leads to {conn.vendor}: pass "
            'django.db.connections["…"] of the database that holds the tables of pgjobs.'
        )
    driver: Any = conn
    if driver.Database.__name__ != "psycopg":
        raise EnqueueError(f"Django's connection is one of {driver.Database.__name__}: install psycopg 3 beside it.")
    return conn


def driver_connection(wrapper: Any) -> psycopg.Connection[Any]:
    """Return psycopg's connection, opened as Django opens it.

    Raises:
        django.db.Error: as Django's own queries.

    """
    wrapper.validate_thread_sharing()
    wrapper.ensure_connection()
    wrapper.validate_no_broken_transaction()
    connection: psycopg.Connection[Any] = wrapper.connection
    return connection


def run(
    wrapper: Any,
    name: str,
    columns: EnqueueColumns | None,
    values: Mapping[str, Any],
    *,
    read: Callable[[Any], Any] = int,
) -> list[Any]:
    """Run a statement in the transaction of Django, as `psycopg.run` does. Errors of psycopg become Django's."""
    from pgjobs.db.adapters import psycopg as on_psycopg

    connection = driver_connection(wrapper)
    with wrapper.wrap_database_errors:
        return on_psycopg.run(connection, name, columns, values, read=read)
