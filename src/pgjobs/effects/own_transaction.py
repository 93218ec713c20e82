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
    options = getattr(conn, "get_execution_options", None)
    level = options().get("isolation_level") if callable(options) else None
    info = getattr(conn, "info", None)
    idle = getattr(conn, "autocommit", False) is True and getattr(info, "transaction_status", None) == 0
    if level == "AUTOCOMMIT" or idle:
        raise UsageError(
            f"{name} on a connection in autocommit mode {harm}: open a transaction, as in `with conn.transaction(): …`."
        )
