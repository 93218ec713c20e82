"""Enqueueing on psycopg's connections, sync and async."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import AsyncCursor, Cursor
from psycopg.rows import tuple_row

from pgjobs.db.adapters import prepared
from pgjobs.db.adapters.arrays import Blobs, Texts, register
from pgjobs.db.adapters.encoding import storable
from pgjobs.db.adapters.errors import translate_error
from pgjobs.db.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import psycopg

    from pgjobs.db.enqueue_columns import EnqueueColumns


def run(
    conn: psycopg.Connection[Any],
    name: str,
    columns: EnqueueColumns | None,
    values: Mapping[str, Any],
    *,
    read: Callable[[Any], Any] = int,
) -> list[Any]:
    """Run a statement in the connection's transaction, and return the first value of each row: the ids."""
    sql = binary(statement(name))
    try:
        if name == "enqueue" and columns and (ids := prepared.insert(conn, sql, columns, values)) is not None:
            return ids
        # A plain cursor, because the connection's own may read other placeholders or make other rows.
        with Cursor(conn, row_factory=tuple_row) as cursor:
            values = parameters(conn, columns, values)
            cursor.execute(sql, values, binary=True)
            if name == "enqueue" and columns:
                prepared.remember(cursor, sql, columns, values, values)
            return [read(row[0]) for row in cursor.fetchall()]
    except Exception as error:
        translate_error(error)


async def run_async(
    conn: psycopg.AsyncConnection[Any],
    name: str,
    columns: EnqueueColumns | None,
    values: Mapping[str, Any],
    *,
    read: Callable[[Any], Any] = int,
) -> list[Any]:
    """Do the same on an async connection."""
    sql = binary(statement(name))
    try:
        if (
            name == "enqueue"
            and columns
            and (ids := await prepared.insert_async(conn, sql, columns, values)) is not None
        ):
            return ids
        async with AsyncCursor(conn, row_factory=tuple_row) as cursor:
            values = parameters(conn, columns, values)
            await cursor.execute(sql, values, binary=True)
            if name == "enqueue" and columns:
                prepared.remember(cursor, sql, columns, values, values)
            return [read(row[0]) for row in await cursor.fetchall()]
    except Exception as error:
        translate_error(error)


def parameters(driver_connection: Any, columns: EnqueueColumns | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of a statement in the form that psycopg sends best, on its connection or SQLAlchemy's.

    `columns`: None: there are no others than `values`.
    """
    if columns is None:
        return dict(values)
    values = storable(columns, values, driver_connection)
    if "payloads" in values:
        register(driver_connection.adapters)
        values["payloads"] = Blobs(values["payloads"])
        if values["summaries"] is not None:
            values["summaries"] = Texts(values["summaries"])
        for name in ("lanes", "keys"):
            if values.get(name) is not None:
                values[name] = Texts(values[name])
    return values


@cache
def binary(sql: LiteralString) -> LiteralString:
    """Return the statement for binary parameters: arrays cost psycopg a quarter of what they cost as text."""
    return sql.replace(")s", ")b")
