"""Which database a command uses: the configured one, or an embedded one that was asked for."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pgjobs.core.config import settings
from pgjobs.core.errors import ConfigurationError
from pgjobs.db.url import libpq_url

if TYPE_CHECKING:
    from collections.abc import Iterator

EMBEDDED_DIRECTORY = ".pgjobs"  # below the current one


@contextmanager
def database(url: str | None = None, *, embedded: bool = False) -> Iterator[str]:
    """Find the database for the block, which gets its libpq URL.

    It is `url`, else the configured one, else the embedded PostgreSQL that runs in `./.pgjobs/`. No server is started,
    so that a worker with a forgotten URL never works on an empty database. `embedded=True` is for that: it uses the
    server in `./.pgjobs/` whatever is configured, starts it if need be, and creates or upgrades its tables.

    Raises:
        ConfigurationError: there is no database, or its URL is not a PostgreSQL URL, or no server can be started.
        SchemaError: the embedded database has tables that this version of pgjobs does not know.

    """
    named = url or settings().database_url
    if named and not embedded:
        yield libpq_url(named)
        return
    # Imported lazily: most commands have a URL, and this imports subprocess and socket.
    from pgjobs.embedded import embedded_server, running_server

    if embedded:
        from pgjobs.db.migrations import upgrade_if_needed

        with embedded_server(embedded_directory()) as server:
            upgrade_if_needed(server.url)
            yield server.url
        return
    with running_server(embedded_directory()) as running:
        if running is None:
            raise no_database("give --database-url", ", or for one command with --embedded")
        sys.stderr.write(f"Using the embedded PostgreSQL in ./{EMBEDDED_DIRECTORY}/.\n")
        yield running.url


def embedded_directory() -> Path:
    """Return the folder of the embedded PostgreSQL: `.pgjobs` in the current one."""
    return Path.cwd() / EMBEDDED_DIRECTORY


def no_database(other_way: str, more: str = "") -> ConfigurationError:
    """Return the error that says how to name a database: by the setting, by `other_way`, or by starting a server."""
    return ConfigurationError(
        f"no database is configured: set PGJOBS_DATABASE_URL or {other_way}, or start an embedded PostgreSQL in "
        f"./{EMBEDDED_DIRECTORY}/ with `pgjobs db start`{more}."
    )
