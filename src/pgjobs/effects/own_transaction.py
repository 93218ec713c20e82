"""What all that writes in a job's own transaction has to look at."""

from __future__ import annotations

import sys
from typing import Any

from pgjobs.core.errors import UsageError

STALE = "PGJ01"
"""SQLSTATE of the function refuse_stale_claim."""


def refuse_autocommit(conn: Any, name: str, harm: str) -> None:
    """Refuse a connection on which each statement is a transaction of its own. `harm`: what that would do.

    Raises:
        UsageError: it is one.

    """
    if "django.db" in sys.modules:
        from pgjobs.db.adapters.django import wrapper_of

        wrapper = wrapper_of(conn)
        if wrapper is not None:
            if wrapper.get_autocommit():
                raise UsageError(f"{name} outside of a transaction {harm}: call it in `with transaction.atomic(): …`.")
            return
    driver = _driver_connection(conn)
    if getattr(driver, "autocommit", False) and not getattr(getattr(driver, "info", None), "transaction_status", 0):
        raise UsageError(
            f"{name} on a connection in autocommit mode {harm}: open a transaction, as in `with conn.transaction(): …`."
        )


async def refuse_autocommit_async(conn: Any, name: str, harm: str) -> None:
    """Do it on an async connection or session: those of SQLAlchemy may have to connect for that.

    Raises:
        UsageError: it is one.

    """
    scoped = getattr(conn, "registry", None)
    run_sync = getattr(scoped() if callable(scoped) else conn, "run_sync", None)
    if run_sync is None:
        refuse_autocommit(conn, name, harm)
    else:
        await run_sync(refuse_autocommit, name, harm)


def _driver_connection(conn: Any) -> Any:
    """Return the driver's connection under one of SQLAlchemy or a session: only that knows the mode, for certain."""
    if callable(getattr(conn, "connection", None)):  # a session
        conn = conn.connection()
    return conn.connection.dbapi_connection if hasattr(conn, "get_execution_options") else conn
