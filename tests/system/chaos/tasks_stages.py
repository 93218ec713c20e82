"""A pipeline, and what is broadcast: of each item two parts are kept, and each worker process hears of a broadcast."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress

import psycopg

from pgjobs import job, pipeline
from tests.support.tasks import URL
from tests.system.chaos.tasks import write, written_down

TABLES = """
CREATE TABLE announced (token uuid PRIMARY KEY, id bigint);
CREATE TABLE heard (token uuid, pid bigint, call uuid PRIMARY KEY);
CREATE TABLE stored (item text, part int)
"""
PARTS = 2


@job(max_attempts=100, backoff=0.1)
def cut(item: str) -> Iterator[tuple[str, int]]:
    """Make parts of an item."""
    write("start")
    for part in range(PARTS):
        yield item, part
    write("ok")


@job(max_attempts=100, backoff=0.1, executor="process", queue="heavy")
def wrap(part: tuple[str, int]) -> tuple[str, int]:
    with written_down():
        time.sleep(0.01)
    return part


@job(max_attempts=100, backoff=0.1, queue="stores", transaction=True)
def store(conn: psycopg.Connection, part: tuple[str, int]) -> None:
    """Keep it, in the transaction that completes this job."""
    with written_down():
        conn.execute("INSERT INTO stored VALUES (%s, %s)", part)
        time.sleep(0.01)


parcels = pipeline("parcels", cut >> wrap >> store, at_most=30)


def hear(token: str) -> None:
    """Write down that this process has heard it, however long it takes until there is a server."""
    call = str(uuid.uuid4())
    while True:
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(os.environ[URL], autocommit=True, connect_timeout=5) as conn,
        ):
            conn.execute("INSERT INTO heard VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", [token, os.getpid(), call])
            return
        time.sleep(0.2)
