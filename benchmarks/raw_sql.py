"""The ceiling: the hot statements alone, on connections like a worker's, and bare INSERTs.

Used by `drivers/raw_sql.py`. The claim and the acknowledgement are the project's own statements, so that a figure
beside this one says what is lost in Python; the INSERTs are what one would write with a payload and a table.
"""

from __future__ import annotations

import os
import pickle
import queue
import struct
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any

import psycopg
from benchmarks.tasks import QUEUE, noop

from pgjobs.db.connection import connect_hot
from pgjobs.db.statements import statement
from pgjobs.payload.pickling import dump

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
PRIORITIES = range(10)
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
IDLE_PAUSE = 0.002  # seconds between two looks at an empty queue
TASK = "benchmarks.tasks:noop"
SUMMARY = "noop(123456)"
PAYLOAD = dump(noop, (123456,), {})

# Without RETURNING: the ids are not needed. What is left out has the same value by default.
_INSERT = "INSERT INTO pgjobs.jobs (queue, task, summary, payload) VALUES (%b::text, %b::text, %b::text, %b::bytea)"
_INSERT_MANY = """
    INSERT INTO pgjobs.jobs (queue, task, summary, payload)
    SELECT %b::text, %b::text, a.summary, a.payload FROM unnest(%b::text[], %b::bytea[]) AS a (summary, payload)
"""
_REGISTER = (
    "INSERT INTO pgjobs.workers (host, pid, queues, version, heartbeat_at) VALUES ('raw', 0, '{}', '0', 'infinity') "
    "RETURNING id"
)


def insert(connection: psycopg.Connection) -> None:
    """One row."""
    connection.execute(_INSERT, (QUEUE, TASK, SUMMARY, PAYLOAD))


def insert_many(connection: psycopg.Connection, rows: int) -> None:
    """Insert many rows by one statement."""
    connection.execute(_INSERT_MANY, (QUEUE, TASK, [SUMMARY] * rows, [PAYLOAD] * rows))


def work(url: str, batch: int, *, call: bool = False) -> None:
    """Claim on one connection and acknowledge on another, forever. `call`: and run the jobs, one after another."""
    handover: queue.SimpleQueue[tuple[list[int], list[int]]] = queue.SimpleQueue()
    with connect_hot(url, application_name="bench register") as connection:
        row = connection.execute(_REGISTER).fetchone()
        assert row is not None
    threading.Thread(target=acknowledge, args=(url, row[0], handover), daemon=True).start()
    claim(url, row[0], batch, handover, call=call)


def claim(
    url: str, worker_id: int, batch: int, out: queue.SimpleQueue[tuple[list[int], list[int]]], *, call: bool
) -> None:
    """Claim one batch after another, from where the last one ended, and from the beginning when nothing was found."""
    log = os.open(os.environ["BENCH_RAN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    beginning = [(LONG_AGO, 0)] * len(PRIORITIES)
    frontier = list(beginning)
    with connect_hot(url, application_name="bench claim", async_commit=True) as connection:
        cursor = connection.cursor(binary=True)
        while True:
            rows = cursor.execute(
                statement("claim"),
                {
                    "priorities": list(PRIORITIES),
                    "run_ats": [place[0] for place in frontier],
                    "ids": [place[1] for place in frontier],
                    "untils": [END_OF_TIME] * len(PRIORITIES),
                    "counted_queue": None,
                    "queue": QUEUE,
                    "demand": batch,
                    "worker_id": worker_id,
                },
            ).fetchall()
            if not rows:
                time.sleep(0.0 if frontier != beginning else IDLE_PAUSE)
                frontier = list(beginning)
                continue
            assert cursor.description is not None
            names = [column.name for column in cursor.description]
            ids, claims, priorities, run_ats = (
                [row[names.index(name)] for row in rows] for name in ("id", "claims", "priority", "run_at")
            )
            last = max(zip(run_ats, ids, strict=True))
            priority = priorities[-1]  # all have the same here
            frontier[priority] = max(frontier[priority], last)
            if call:
                payload = names.index("payload")
                for row in rows:
                    job, _, _ = pickle.loads(row[payload])
                    job(row[0] - 2)
            else:
                os.write(log, records(ids))
            out.put((ids, claims))


def records(ids: Sequence[int]) -> bytes:
    """Record that these ran. The first id of emptied tables is 1: that of job -1."""
    numbers = [number - 2 for number in ids]
    return struct.pack(f"<{2 * len(ids)}q", *chain.from_iterable(zip(numbers, repeat(time.time_ns()), strict=False)))


def acknowledge(url: str, worker_id: int, inbox: queue.SimpleQueue[tuple[list[int], list[int]]]) -> None:
    """Complete what was claimed, as it comes."""
    try:
        with connect_hot(url, application_name="bench ack") as connection:
            cursor: psycopg.Cursor[Any] = connection.cursor(binary=True)
            while True:
                ids, claims = inbox.get()
                cursor.execute(statement("complete"), {"ids": ids, "claim_numbers": claims, "worker_id": worker_id})
                assert cursor.fetchall() == [(len(ids),)]
    finally:
        os._exit(1)  # the thread that claims has no use without this one
