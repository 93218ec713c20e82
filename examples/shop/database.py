"""Where the shop's database is: where pgjobs has its tables, PGJOBS_DATABASE_URL."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Engine, create_engine

from pgjobs import settings
from pgjobs.db.url import sqlalchemy_url


@cache
def engine() -> Engine:
    """Give the engine of this process; it is made at first use, so that no two processes share one."""
    url = settings().database_url
    if url is None:
        raise SystemExit("Set PGJOBS_DATABASE_URL first.")
    return create_engine(sqlalchemy_url(url))
