"""What alembic runs around the migrations, for `pgjobs migrate` and for `alembic` by hand alike."""

from __future__ import annotations

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from pgjobs.core.config import settings
from pgjobs.db.migrations import LOCK_TIMEOUT, VERSION_TABLE, sqlalchemy_connection

SCHEMA: str = context.config.attributes.get("schema") or settings().schema
LOCK = f"SELECT pg_advisory_xact_lock(hashtext('{SCHEMA}'), hashtext('migrate'))"
# Others queue up behind a session that waits for a lock on a table. So that is given up soon, and tried again (by
# pgjobs.db.migrations). The turn itself may take as long as another migration.
NO_HURRY = "SET LOCAL lock_timeout = 0"
SOON = f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT:g}s'"
CREATE_SCHEMA = f'CREATE SCHEMA IF NOT EXISTS "{SCHEMA}"'


def print_statements() -> None:
    """Print (`--sql`): one transaction that can be run in psql."""
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # so that % is not doubled
        literal_binds=True,
        version_table=VERSION_TABLE,
        version_table_schema=SCHEMA,
    )
    with context.begin_transaction():
        context.execute(LOCK)
        context.execute(SOON)
        context.execute(CREATE_SCHEMA)
        context.run_migrations()


def run_statements(connection: Connection) -> None:
    """Run: one transaction, which takes its turn before it reads the version."""
    context.configure(connection=connection, version_table=VERSION_TABLE, version_table_schema=SCHEMA)
    with context.begin_transaction():
        if not context.get_context().opts.get("dont_mutate"):  # `alembic current` and the like only look
            connection.exec_driver_sql(NO_HURRY)
            connection.exec_driver_sql(LOCK)
            connection.exec_driver_sql(SOON)
            # Asked first, because IF NOT EXISTS wants the right to create schemas even where there is nothing to do.
            if connection.exec_driver_sql(f"SELECT to_regnamespace('{SCHEMA}')").scalar() is None:
                connection.exec_driver_sql(CREATE_SCHEMA)
        context.run_migrations()


if context.is_offline_mode():
    print_statements()
else:
    url = context.config.attributes.get("url") or settings().database_url
    if not url:
        raise CommandError("No database was named: set PGJOBS_DATABASE_URL.")
    with sqlalchemy_connection(url) as connection:
        run_statements(connection)
