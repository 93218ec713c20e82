"""A connection for a command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgjobs.core.config import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg


@contextmanager
def session(command: str) -> Iterator[psycopg.Connection]:
    """Connect to the database that the settings name, in autocommit mode, and make sure that its tables fit.

    Raises:
        ConfigurationError: there is no database, no way in, or its tables do not fit.

    """
    from pgjobs.db.connection import connect
    from pgjobs.db.database import database
    from pgjobs.db.revision import check_schema

    with database(settings().database_url) as url:
        with connect(url, application_name=f"pgjobs {command}") as conn:
            check_schema(conn)
            yield conn
