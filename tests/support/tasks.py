"""What the jobs of the tests run. Each worker imports this by name.

`mark` writes what a job did into the table `seen`, which a test makes with `make_seen`; the name of the database is in
the environment of the worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from pgjobs import Batch, Cancel, Retry, Snooze, current_job, enqueue, job

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "TASKS_DATABASE_URL"
SEEN = """
    CREATE TABLE seen (
        what text, job bigint, attempt int, pid int, host_pid int,
        began timestamptz NOT NULL DEFAULT clock_timestamp(), ended timestamptz
    )
"""


def make_seen(conn: psycopg.Connection) -> None:
    """Make the table in which jobs leave their traces."""
    conn.execute(SEEN)


@contextmanager
def database() -> Iterator[psycopg.Connection]:
    """Connect to the test's database, from inside a job."""
    with psycopg.connect(os.environ[URL], autocommit=True) as conn:
        yield conn


def mark(what: str) -> None:
    """Leave a trace."""
    with database() as conn:
        mark_on(conn, what)


def mark_on(conn: psycopg.Connection, what: str) -> None:
    """Leave it in the transaction of a connection."""
    row = current_job()
    conn.execute(
        "INSERT INTO seen (what, job, attempt, pid) VALUES (%s, %s, %s, %s)",
        [what, row.id, row.attempt, os.getpid()],
    )


def tell_process() -> None:
    """Leave a trace of this process; not in a job."""
    with database() as conn:
        conn.execute("INSERT INTO seen (what, pid) VALUES ('process', %s)", [os.getpid()])


@job
def mark_job(what: str) -> None:
    """Leave a trace."""
    mark(what)


@job
def nothing(*arguments: object) -> None:
    """Do nothing."""


@job
def healthy(number: int) -> int:
    """Do a little."""
    time.sleep(0.001)
    return number


@job(payload="json")
def told(number: int) -> int:
    """Take JSON alone."""
    return number


@job(executor="process", max_attempts=1)
def answer_with(data: bytes) -> None:
    """Answer in the place of the process in which this runs, as a job could that has gone bad."""
    from pgjobs.worker.executors.child_process import send

    with socket.socket(fileno=os.dup(int(sys.argv[1]))) as channel:
        send(channel, data)
    time.sleep(30)


@job(max_attempts=1)
def break_reading() -> None:
    """Have this process read no more files, as a job in a thread could."""
    Path.read_text = lambda *_: "SELECT 'something else'"  # type: ignore[method-assign]  # that is the subject
    raise ValueError("broken")


@job
async def healthy_async(number: int) -> int:
    """Do a little, on the loop."""
    await asyncio.sleep(0.001)
    return number


@job
def nap(seconds: float) -> None:
    """Take some time."""
    time.sleep(seconds)


async def nap_async(seconds: float) -> None:
    """Take some time on the loop."""
    await asyncio.sleep(seconds)


@job
async def block_the_loop(seconds: float) -> None:
    """Take some time, without letting the loop continue."""
    mark("blocking")
    time.sleep(seconds)  # noqa: ASYNC251 (that is the point)


@job
def note(what: str, seconds: float = 0.0) -> None:
    """Leave a trace at the start, with the end beside it."""
    row = current_job()
    with database() as conn:
        found = conn.execute(
            "INSERT INTO seen (what, job, attempt, pid) VALUES (%s, %s, %s, %s) RETURNING ctid::text",
            [what, row.id, row.attempt, os.getpid()],
        ).fetchone()
        time.sleep(seconds)
        conn.execute("UPDATE seen SET ended = clock_timestamp() WHERE ctid = %s::tid", found)


@job(batch=Batch(3, wait=0.2))
def note_together(whats: list[str]) -> None:
    """Do the same for each job of a batch."""
    with database() as conn:
        for what, row in zip(whats, current_job().members, strict=True):
            conn.execute(
                "INSERT INTO seen (what, job, attempt, pid) VALUES (%s, %s, %s, %s)",
                [what, row.id, row.attempt, os.getpid()],
            )


@job
async def note_async(what: str, seconds: float = 0.0) -> None:
    """Do the same on the loop."""
    row = current_job()
    async with await psycopg.AsyncConnection.connect(os.environ[URL], autocommit=True) as conn:
        cursor = await conn.execute(
            "INSERT INTO seen (what, job, attempt, pid) VALUES (%s, %s, %s, %s) RETURNING ctid::text",
            [what, row.id, row.attempt, os.getpid()],
        )
        found = await cursor.fetchone()
        await asyncio.sleep(seconds)
        await conn.execute("UPDATE seen SET ended = clock_timestamp() WHERE ctid = %s::tid", found)


@job
def enqueue_another(depth: int, queues: list[str]) -> None:
    """Enqueue a job that enqueues a job, from queue to queue."""
    mark(f"depth {depth}")
    if depth:
        following = enqueue_another.options(queue=queues[depth % len(queues)])
        with database() as conn:
            enqueue(conn, following, depth - 1, queues)


@job(backoff=0)
def fail_until(attempt: int, error: str = "not yet") -> None:
    """Fail until the attempt of this number."""
    if current_job().attempt < attempt:
        raise ValueError(error)


@job(backoff=0, max_attempts=3)
def always_fail(error: str = "no") -> None:
    """Fail."""
    raise ValueError(error)


@job(backoff=0, max_attempts=2)
def fail_in_japanese() -> None:
    """Fail, with what only UTF-8 can write."""
    raise ValueError("駄目")


def fail_plainly() -> None:
    """Fail, without options."""
    raise ValueError("no")


@job(backoff=50.0)
def fail_with_constant_backoff() -> None:
    """Fail, and wait for 50 s."""
    raise ValueError("no")


def _grow(attempt: int) -> float:
    return 1000.0 * attempt


@job(backoff=_grow)
def fail_with_growing_backoff() -> None:
    """Fail, and wait for 1000 s more each time."""
    raise ValueError("no")


def _nonsense(attempt: int) -> float:
    raise OSError("a backoff that fails")


@job(backoff=_nonsense)
def fail_with_broken_backoff() -> None:
    """Fail, with a backoff that fails itself."""
    raise ValueError("no")


def _negative(attempt: int) -> float:
    return -1.0


@job(backoff=_negative)
def fail_with_negative_backoff() -> None:
    """Fail, with a backoff into the past."""
    raise ValueError("no")


def _text(attempt: int) -> float:
    return "soon"  # type: ignore[return-value]  # what someone may write all the same


@job(backoff=_text)
def fail_with_text_as_backoff() -> None:
    """Fail, with a backoff that is not a number."""
    raise ValueError("no")


@job(give_up_on=ValueError, backoff=300)
def give_up_on_value_error(error: str) -> None:
    """Raise an error by its name."""
    raise {"ValueError": ValueError, "KeyError": KeyError, "UnicodeError": UnicodeError}[error](error)


@job(retry_on=(KeyError,), backoff=300)
def retry_on_key_error(error: str) -> None:
    """Raise an error by its name."""
    raise {"ValueError": ValueError, "KeyError": KeyError}[error](error)


@job(backoff=0)
def snooze_until(runs: int, name: str) -> None:
    """Snooze until it was run so often."""
    mark(name)
    with database() as conn:
        row = conn.execute("SELECT count(*) FROM seen WHERE what = %s", [name]).fetchone()
    if row is not None and row[0] < runs:
        raise Snooze(0)


_snoozed: set[int] = set()


def snooze_once() -> None:
    """Snooze for no time at all, the first time in this process."""
    number = current_job().id
    if number not in _snoozed:
        _snoozed.add(number)
        raise Snooze(0)


@job(backoff=77.0)
def retry_by_request(seconds: float | None) -> None:
    """Ask for another attempt."""
    raise Retry(seconds)


def cancel(reason: str) -> None:
    """Fail."""
    raise Cancel(reason)


@job
def log_lines() -> None:
    """Write a line with each library."""
    import structlog  # imported lazily: it brings rich, and hundreds of processes of tests import this module

    structlog.get_logger("shop").warning("from structlog", order=7)
    logging.getLogger("shop").warning("from logging %d", 8)


async def log_lines_async() -> None:
    """Write a line with each library, on the loop."""
    log_lines.function()
