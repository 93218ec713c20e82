"""What several drivers do with PostgreSQL besides the contender's own API: begin from nothing, and empty tables.

Not for what is measured: this uses psycopg whatever the contender itself connects with.
"""

from __future__ import annotations

import psycopg
from benchmarks.drivers.protocol import DATABASE_URL
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo


def recreate(name: str = "") -> None:
    """Drop the database `name` (that of BENCH_DATABASE_URL, if it is left out), whoever is in it, and make it anew."""
    database = sql.Identifier(name or str(conninfo_to_dict(DATABASE_URL)["dbname"]))
    with psycopg.connect(make_conninfo(DATABASE_URL, dbname="postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(database))


def execute(*statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
