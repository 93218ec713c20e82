"""The jobs of `benchmarks.extras`."""

from __future__ import annotations

import threading

import psycopg

from pgjobs import complete, connect, current_job, job

TABLE = "CREATE TABLE IF NOT EXISTS extra_rows (number int)"
_INSERT = "INSERT INTO extra_rows (number) VALUES (%s)"
_here = threading.local()


def _connected() -> psycopg.Connection:
    """Return the connection that this thread keeps."""
    conn: psycopg.Connection | None = getattr(_here, "conn", None)
    if conn is None:
        conn = _here.conn = connect()
    return conn


@job
def nothing(number: int) -> None:
    """Do nothing."""


@job(result=True)
def number(number: int) -> int:
    """Return what it was given."""
    return number


@job
def report(number: int) -> None:
    """Report that all is done."""
    current_job().progress(1, 1)


@job
def apart(number: int) -> None:
    """Insert a row in a transaction, and leave the acknowledgement to the worker."""
    with _connected().transaction():
        _connected().execute(_INSERT, [number])


@job
def completes(number: int) -> None:
    """Insert it, and complete in the same transaction."""
    with _connected().transaction():
        _connected().execute(_INSERT, [number])
        complete(_connected())


@job(transaction=True)
def in_transaction(conn: psycopg.Connection, number: int) -> None:
    """Insert it in the worker's transaction."""
    conn.execute(_INSERT, [number])
