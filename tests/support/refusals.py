"""A table that PostgreSQL refuses to write, as a server does that was made a standby.

`default_transaction_read_only` does not do: workers and commands say for themselves that they write.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

_FUNCTION = """
CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'cannot execute % in a read-only transaction', TG_OP USING ERRCODE = 'read_only_sql_transaction';
END $$
"""


@contextmanager
def writes_refused(conn: psycopg.Connection, table: str) -> Iterator[None]:
    """Refuse all writes to a table of pgjobs, until the block ends. `conn` commits by itself."""
    conn.execute(_FUNCTION)
    conn.execute(
        f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON pgjobs.{table}"
        " FOR EACH ROW EXECUTE FUNCTION public.refuse()".encode()
    )
    try:
        yield
    finally:
        conn.execute(f"DROP TRIGGER refuse ON pgjobs.{table}".encode())
