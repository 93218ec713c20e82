"""Create and upgrade the tables from Python, as `pgjobs migrate` does on the command line."""

from __future__ import annotations


def migrate(url: str | None = None) -> None:
    """Create the tables of pgjobs, or upgrade them to this version; does nothing if they are up to date.

    `url`: the database (default: the configured one). The tables are in the schema of the settings. Their owner is the
    role that the URL names.

    Raises:
        SchemaError: the tables are newer than this version of pgjobs, or could not be changed.
        ConfigurationError: there is no such database, or its PostgreSQL is too old.

    """
    from pgjobs.db.migrations import upgrade  # imported lazily: alembic is slow to import
    from pgjobs.db.public_connect import database_url

    upgrade(url or database_url())
