"""Databases for tests that commit: each is cloned from a template with the tables, on a server of the test run."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

TEMPLATE = "pgjobs_tests_template"


@contextmanager
def server_in(folder: Path) -> Iterator[str]:
    """Start the embedded server of a test run, or join it: processes of pytest-xdist share one. No fsync."""
    from pgjobs.embedded import embedded_server

    with embedded_server(folder, durable=False) as server:
        yield server.url


def delete(folder: Path) -> None:
    """Delete the server of a test run, unless another process uses it."""
    from pgjobs.core.errors import ConfigurationError
    from pgjobs.embedded import delete_server

    try:
        delete_server(folder)
    except (ConfigurationError, OSError):
        pass  # the last one deletes it


def template(url: str, prepare: Callable[[str], object] | None, name: str = TEMPLATE) -> str:
    """Return the name of a database with the tables, made once for a server. `prepare`: adds an application's own."""
    import psycopg
    from psycopg import sql

    from pgjobs import admin

    with psycopg.connect(url, autocommit=True) as conn:
        # Processes of one run wait here for the first of them. The lock ends with the connection.
        conn.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
        if conn.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None:
            return name
        half = f"{name}_{secrets.token_hex(4)}"
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(half)))
        admin.migrate(in_database(url, half))
        if prepare is not None:
            prepare(in_database(url, half))
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        conn.execute(rename.format(sql.Identifier(half), sql.Identifier(name)))
    return name


@contextmanager
def clone(url: str, name: str) -> Iterator[str]:
    """Make a database like the template, and drop it at the end."""
    import psycopg
    from psycopg import sql

    made = f"pgjobs_test_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(made), sql.Identifier(name)))
    try:
        yield in_database(url, made)
    finally:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(made)))


def in_database(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
