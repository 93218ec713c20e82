"""Create, upgrade and drop the tables: alembic, on the migrations that travel with the package.

Everything happens in one transaction that takes an advisory lock before it reads the version, so any number of
processes may ask for an upgrade at once: one does it, the others find it done. No table is waited for longer than two
seconds, because the application would queue up behind that: then all is rolled back, and tried again a few times. The
version table is `pgjobs.migrations`, in the schema of the tables; an alembic history of the application's own is never
looked at.

alembic and SQLAlchemy are imported lazily: they take a quarter of a second.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO

from pgjobs.core.config import Settings, settings
from pgjobs.core.errors import ConfigurationError, SchemaError
from pgjobs.core.version import MIN_SERVER_VERSION
from pgjobs.db.connection import connect as connect_to_server
from pgjobs.db.installation import connection_name
from pgjobs.db.revision import EXPECTED_REVISION, revision_of
from pgjobs.db.statements import statement
from pgjobs.db.url import describe, mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg
    from alembic.config import Config
    from sqlalchemy import Connection

VERSION_TABLE = "migrations"
LOCK_TIMEOUT = 2.0  # seconds
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds between two tries: the application runs meanwhile
log = logging.getLogger("pgjobs.migrations")
_LOCKED = ("55P03", "40P01")  # SQLSTATE: lock_timeout, deadlock
_alembic_is_busy = Lock()  # alembic keeps its context in a module: one run at a time in a process


def migrations_directory() -> Path:
    """Find the migrations: in the installed package, or at the top of the checkout.

    Raises:
        ConfigurationError: they are in neither place.

    """
    package = Path(__file__).resolve().parents[1]
    for directory in (package / "migrations", package.parents[1] / "migrations"):
        if (directory / "env.py").is_file():
            return directory
    raise ConfigurationError(f"The migrations are missing from {package}: install pgjobs-runner again.")


def upgrade_if_needed(url: str) -> None:
    """Create or upgrade the tables, if they are not those of this version: looking costs less than alembic's import."""
    if current(url) != EXPECTED_REVISION:
        upgrade(url)


def upgrade(url: str, revision: str = "head", *, schema: str | None = None) -> None:
    """Bring the tables in the schema (default: the setting) to the revision; nothing happens if they are there.

    Raises:
        SchemaError: the tables are newer than this version of pgjobs, or could not be changed.
        ConfigurationError: the database cannot be reached, or its PostgreSQL is too old.

    """
    _patiently(url, schema, lambda command, config: command.upgrade(config, revision))


def downgrade(url: str, revision: str, *, schema: str | None = None) -> None:
    """Take the tables back to a revision; `base` drops them, with every job in them.

    Raises:
        SchemaError: the tables are newer than this version of pgjobs, or could not be changed.
        ConfigurationError: the database cannot be reached, or its PostgreSQL is too old.

    """
    _patiently(url, schema, lambda command, config: command.downgrade(config, revision))


def current(url: str, *, schema: str | None = None) -> str | None:
    """Return the revision of the tables in the schema, or None if there are no tables.

    Raises:
        ConfigurationError: the database cannot be reached, or its PostgreSQL is too old.

    """
    with connect(url) as connection:
        return revision_of(connection, schema)


def sql(url: str | None = None, *, schema: str | None = None, output: TextIO | None = None) -> None:
    """Print the statements of an upgrade instead of running them: all, or what this database still lacks.

    Raises:
        SchemaError: the tables are newer than this version of pgjobs.
        ConfigurationError: the database cannot be reached, or its PostgreSQL is too old.

    """
    start = current(url, schema=schema) if url else None
    if start == EXPECTED_REVISION:
        print("-- The tables are up to date.", file=output or sys.stdout)
        return
    with _alembic(url, schema, output or sys.stdout) as config:
        from alembic import command

        command.upgrade(config, f"{start}:head" if start else "head", sql=True)


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection]:
    """Open a connection for a migration, or explain in one line why that failed.

    Raises:
        ConfigurationError: the database cannot be reached, or its PostgreSQL is too old.

    """
    with connect_to_server(url, application_name=connection_name("migrate"), autocommit=False) as connection:
        major = connection.info.server_version // 10000
        if major < MIN_SERVER_VERSION:
            raise ConfigurationError(
                f"{describe(url)} is PostgreSQL {major}: pgjobs needs {MIN_SERVER_VERSION} or newer."
            )
        yield connection


@contextmanager
def sqlalchemy_connection(url: str) -> Iterator[Connection]:
    """Open the same connection for alembic, whatever libpq URL it is.

    Raises:
        ConfigurationError: the database cannot be reached, or its PostgreSQL is too old.

    """
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    with connect(url) as raw:
        # READ COMMITTED, whatever the database's default: who waited for the lock must see what its holder committed.
        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: raw, poolclass=NullPool, isolation_level="READ COMMITTED"
        )
        with engine.connect() as connection:
            yield connection


class _LockedError(SchemaError):
    """Another transaction has a lock on a table."""


def _patiently(url: str, schema: str | None, change: Callable[[Any, Config], None]) -> None:
    """Make a change, in several tries where others hold locks on the tables.

    Raises:
        SchemaError: as `upgrade`; of locks it names who holds them.

    """
    for pause in (*PAUSES, None):
        try:
            with _alembic(url, schema) as config:
                from alembic import command

                change(command, config)
            return
        except _LockedError as error:
            held = _holders(url, schema)
            if pause is None:
                raise SchemaError(
                    f"The migration has to wait for a lock, and gave up after {len(PAUSES) + 1} tries; nothing was "
                    f"changed. {held} Then run it again."
                ) from error
            log.warning("the migration waits for a lock, and tries again in %g s: %s", pause, held)
            time.sleep(pause)


def _holders(url: str, schema: str | None) -> str:
    """Name who holds locks on the tables, and what ends that."""
    with connect(url) as connection:
        rows = connection.execute(statement("lock_holders", schema)).fetchall()
    if not rows:
        return "Who held the lock is gone by now."
    pid, name, state, seconds, table = rows[0]
    if pid is None:
        return f"The prepared transaction {name} has locked {table} for {seconds:.0f} s: ROLLBACK PREPARED '{name}'."
    return (
        f"pid {pid} ({name or 'no application name'}, {state}) has had a lock on {table} for {seconds:.0f} s: let it "
        f"end, or SELECT pg_terminate_backend({pid})."
    )


@contextmanager
def _alembic(url: str | None, schema: str | None, output: TextIO | None = None) -> Iterator[Config]:
    """Set alembic up for one command, and translate what it raises."""
    with _alembic_is_busy, _quiet():
        from alembic.config import Config
        from alembic.util import CommandError
        from sqlalchemy.exc import DBAPIError

        config = Config(output_buffer=output or sys.stdout)
        config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
        config.attributes["url"] = url
        # Through Settings, which refuses what is not a plain identifier.
        config.attributes["schema"] = Settings(schema=schema).schema if schema else settings().schema
        try:
            yield config
        except CommandError as error:
            cause = error.__cause__ or error
            if "Can't locate revision" in str(error):
                raise SchemaError(
                    f"The tables have a revision that this pgjobs does not know ({_first_line(cause)}): "
                    "upgrade pgjobs-runner."
                ) from error
            raise SchemaError(f"The migration failed: {_first_line(cause)}") from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) in _LOCKED:
                raise _LockedError(_first_line(error.orig)) from error
            raise SchemaError(f"The migration failed, nothing was changed: {_first_line(error.orig)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what alembic logs at INFO out of the application's logs."""
    logger = logging.getLogger("alembic")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _first_line(error: object) -> str:
    text = mask(str(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__
