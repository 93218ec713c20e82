"""Row level security on the tables hides rows without a word. This says whether it may be why nothing is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.core.errors import SchemaError
from pgjobs.core.text import listed
from pgjobs.db.statements import statement

if TYPE_CHECKING:
    import psycopg

READ = ("r",)
CHANGE = ("r", "a", "w", "d")


def hidden_tables(conn: psycopg.Connection, kinds: tuple[str, ...] = READ, schema: str | None = None) -> list[str]:
    """Return the tables of which policies may hide rows from this role, in statements of these kinds."""
    from psycopg import Cursor
    from psycopg.rows import tuple_row

    # A plain cursor: the connection may be a caller's, with rows of another kind.
    with Cursor(conn, row_factory=tuple_row) as cursor:
        rows = cursor.execute(statement("hidden_tables", schema), {"kinds": list(kinds)}, prepare=False).fetchall()
    return [name if isinstance(name, str) else name.decode() for (name,) in rows]


def check_visible(conn: psycopg.Connection, kinds: tuple[str, ...] = READ) -> None:
    """Make sure that this role sees all rows, where nothing was found or before it is looked for.

    Raises:
        SchemaError: row level security may hide some; the message names the tables.

    """
    if hidden := hidden_tables(conn, kinds):
        raise SchemaError(
            f"Row level security may hide rows of {listed(hidden, 3)} from the role {conn.info.user!r}: let it bypass "
            "that (ALTER ROLE … BYPASSRLS), connect as the owner of the tables, or disable it on them."
        )
