"""What several drivers do with PostgreSQL besides the contender's own API: begin from nothing, and empty tables.

Not for what is measured: this uses psycopg whatever the contender itself connects with.
"""

from __future__ import annotations

import psycopg
from benchmarks.drivers.protocol import DATABASE_URL
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_COPY = "_copy"


def recreate() -> None:
    """Make the database of BENCH_DATABASE_URL anew. An existing one is dropped, and its connections are closed."""
    _create(_name(), "template1")


def keep_copy() -> None:
    """Keep the database as it is, for `restore_copy`. Its connections are closed."""
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    execute(f"{others} AND pid <> pg_backend_pid()")
    _create(_name() + _COPY, _name())


def restore_copy() -> None:
    """Make the database as it was when its copy was kept. Its connections are closed."""
    _create(_name(), _name() + _COPY)


def execute(*statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _name() -> str:
    return str(conninfo_to_dict(DATABASE_URL)["dbname"])


def _create(name: str, template: str) -> None:
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(make_conninfo(DATABASE_URL, dbname="postgres"), autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(create)
