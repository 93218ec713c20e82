"""Where the shop's database is: where pgjobs has its tables, PGJOBS_DATABASE_URL."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Engine, create_engine

from pgjobs import database_url


@cache
def engine() -> Engine:
    """Return the engine of this process. It is created at first use, so that no two processes share one."""
    return create_engine(database_url())
