"""A connection for a command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgjobs.cli.invocation import invocation
from pgjobs.db.choose_database import database
from pgjobs.db.connection import connect
from pgjobs.db.installation import connection_name
from pgjobs.db.revision import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg


@contextmanager
def session(command: str) -> Iterator[psycopg.Connection]:
    """Connect to the configured database, in autocommit mode, and check the revision of its tables.

    Raises:
        ConfigurationError: there is no database, it cannot be reached, or its tables have another revision.

    """
    with database(embedded=invocation.embedded) as url:
        with connect(url, application_name=connection_name(command)) as conn:
            check_schema(conn)
            yield conn
