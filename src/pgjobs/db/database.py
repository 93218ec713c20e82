"""Which database a command uses: the one that is named, or an embedded one."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pgjobs.core.config import settings
from pgjobs.db.url import libpq_url

if TYPE_CHECKING:
    from collections.abc import Iterator

EMBEDDED_DIRECTORY = ".pgjobs"  # below the current one


@contextmanager
def database(url: str | None = None) -> Iterator[str]:
    """Give the libpq URL of the database: the option, else PGJOBS_DATABASE_URL, else an embedded PostgreSQL.

    The embedded one lies in `./.pgjobs/`, has its tables made or upgraded, and is announced on stderr. It runs as long
    as this block, or another process's, lasts.

    Raises:
        ConfigurationError: the URL is none, or there is no PostgreSQL to start.
        SchemaError: the embedded database has tables that this version of pgjobs does not know.

    """
    named = url or settings().database_url
    if named:
        yield libpq_url(named)
        return
    from pgjobs.embedded import embedded_server

    with embedded_server(Path.cwd() / EMBEDDED_DIRECTORY) as server:
        sys.stderr.write(
            f"No database was named: using an embedded PostgreSQL in ./{EMBEDDED_DIRECTORY}/ "
            "(set PGJOBS_DATABASE_URL to use your own).\n"
        )
        _make_tables(server.url)
        yield server.url


def _make_tables(url: str) -> None:
    from pgjobs.db import migrations as migrate
    from pgjobs.db.revision import EXPECTED_REVISION

    if migrate.current(url) != EXPECTED_REVISION:  # alembic takes a while to import, so it is asked only then
        migrate.upgrade(url)
