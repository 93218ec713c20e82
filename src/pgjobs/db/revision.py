"""What this version of pgjobs works with: which PostgreSQL, and which revision of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.core.config import settings
from pgjobs.core.errors import NewerTablesError, SchemaError
from pgjobs.db.row_security import READ, check_visible
from pgjobs.db.statements import statement

if TYPE_CHECKING:
    import psycopg

EXPECTED_REVISION = "0019"  # the newest file in migrations/versions; revisions are four digits, so that they compare


def revision_of(conn: psycopg.Connection, schema: str | None = None) -> str | None:
    """Return the revision of the tables in the schema (default: the setting), or None if there are no tables."""
    from psycopg import Cursor, errors
    from psycopg.rows import tuple_row

    from pgjobs.db.texts import read_to_show

    try:
        with conn.transaction():  # a savepoint where the caller has a transaction: a missing table must not end it
            # A plain cursor: the connection may be a caller's, with rows of another kind.
            with Cursor(conn, row_factory=tuple_row) as cursor:
                read_to_show(cursor)
                row = cursor.execute(statement("schema_revision", schema)).fetchone()
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return None
    return str(row[0]) if row else None


def check_schema(conn: psycopg.Connection, *, kinds: tuple[str, ...] = READ) -> None:
    """Make sure that the tables are there, neither older nor newer than expected, and no policies hide their rows.

    `kinds`: of the statements to come, see `row_security.py`.

    Raises:
        SchemaError: they are not; the message says what to run.

    """
    from psycopg import errors

    schema = settings().schema
    try:
        revision = revision_of(conn)
    except errors.InsufficientPrivilege as error:
        raise SchemaError(
            f"The role {conn.info.user!r} may not read the schema {schema!r}: grant it USAGE on the schema and its "
            "rights on the tables, or connect as their owner."
        ) from error
    if revision in (None, EXPECTED_REVISION):
        check_visible(conn, kinds)
    if revision is None:
        raise SchemaError(f"There are no pgjobs tables in the schema {schema!r}: run `pgjobs migrate` once.")
    if (misfit := _misfit(revision, schema)) is not None:
        raise misfit


def find_misfit(conn: psycopg.Connection) -> SchemaError | None:
    """Return an error if the tables have become newer or older than this version; for a worker that runs."""
    revision = revision_of(conn)
    return None if revision is None else _misfit(revision, settings().schema)


def _misfit(revision: str, schema: str) -> SchemaError | None:
    if revision < EXPECTED_REVISION:
        return SchemaError(
            f"The tables in the schema {schema!r} are older ({revision}) than this pgjobs needs "
            f"({EXPECTED_REVISION}): run `pgjobs migrate`."
        )
    if revision > EXPECTED_REVISION:
        return NewerTablesError(
            f"The tables in the schema {schema!r} are newer ({revision}) than this pgjobs knows "
            f"({EXPECTED_REVISION}): upgrade pgjobs-runner."
        )
    return None
