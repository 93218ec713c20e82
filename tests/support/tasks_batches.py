"""Jobs that run in batches. Each call leaves a row in the table `calls`."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import psycopg
from psycopg.types.json import Json

from pgjobs import Batch, Outcomes, Retry, Snooze, complete, current_job, job
from tests.support.tasks import database
from tests.support.tasks_ends import LyingError

CALLS = """
    CREATE TABLE calls (
        n serial, task text, ids bigint[], items jsonb, pid int, at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""


class PoisonError(Exception):
    """What a poison raises."""


def record(items: list[Any]) -> None:
    """Leave a row for this call, in a transaction of its own."""
    job = current_job()
    ids = [member.id for member in job.members]
    with database() as conn:
        conn.execute(
            "INSERT INTO calls (task, ids, items, pid) VALUES (%s, %s, %s, %s)",
            [job.task, ids, Json(items), os.getpid()],
        )


def run(items: list[Any]) -> None:
    """Do what the items say, and leave a row before."""
    record(items)
    for item in items:
        if item == "poison":
            raise PoisonError("no")
        if item == "lie":
            raise LyingError
        if item == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while item == "sleep":
            time.sleep(0.01)


@job(batch=Batch(10, wait=0.4), max_attempts=1)
def gather(items: list[Any]) -> None:
    run(items)


@job(batch=Batch(10, wait=0.4), max_attempts=1)
async def gather_on_loop(items: list[Any]) -> None:
    run(items)


@job(batch=Batch(10, wait=0.4), max_attempts=1, executor="process")
def gather_apart(items: list[Any]) -> None:
    run(items)


@job(batch=Batch(10, wait=0.2), timeout=0.5, max_attempts=1)
def gather_in_time(items: list[Any]) -> None:
    run(items)


@job(batch=Batch(10, wait=0.2, by="{tenant}"))
def gather_by_tenant(items: list[dict[str, Any]]) -> None:
    record(items)


@job(batch=Batch(10, wait=0.5, max_bytes=5_000))
def gather_bytes(items: list[str]) -> None:
    record([len(item) for item in items])


@job(batch=Batch(100, wait=60))
def gather_patiently(items: list[Any]) -> None:
    run(items)


@job(batch=Batch(10, wait=0.2), result=True)
def double(items: list[int]) -> list[int]:
    return [2 * item for item in items]


@job(batch=Batch(10, wait=0.2), result=True)
def too_few(items: list[int]) -> list[int]:
    return items[1:]


@job(batch=Batch(10, wait=0.2), result=True, max_attempts=2)
def one_by_one(items: list[int]) -> list[str] | Outcomes:
    """Return or raise outcomes for the members."""
    if len(items) == 1:  # the second attempt of the one that was busy
        return [f"item {items[0]}"]
    members = current_job().members
    said = Outcomes(
        retry={0: "busy", members[1]: Retry(3600, "later")},
        fail={2: ValueError("bad"), 3: "no such thing"},
        cancel=[4],
        snooze={5: 3600},
        results=[f"item {item}" for item in items],
    )
    if items[-1] == -1:
        raise said
    return said


@job(batch=Batch(10, wait=0.2))
def wishes(items: list[int]) -> None:
    record(items)
    raise Snooze(3600)


@job(batch=Batch(10, wait=0.2), max_attempts=2, backoff=0.01)
def at_once(items: list[Any]) -> None:
    """Write an effect for each, and complete all of them in one transaction."""
    record(items)
    with database() as conn, conn.transaction():
        for member in current_job().members:
            conn.execute("INSERT INTO effects (job) VALUES (%s)", [member.id])
        complete(conn)
        if "raises before the commit" in items:
            raise PoisonError("rolled back")
    if "raises after the commit" in items:
        raise PoisonError("too late")


@job(batch=Batch(10, wait=0.2), max_attempts=1, transaction=True)
def within(conn: psycopg.Connection[Any], items: list[Any]) -> Outcomes | None:
    """Write an effect for each in the transaction that its worker has opened."""
    record(items)
    for member in current_job().members:
        conn.execute("INSERT INTO effects (job) VALUES (%s)", [member.id])
    if "poison" in items:
        raise PoisonError("rolled back")
    return Outcomes() if "outcomes" in items else None


@job(batch=Batch(10, wait=0.2), max_attempts=1, transaction=True)
async def within_async(conn: psycopg.AsyncConnection[Any], items: list[Any]) -> None:
    """Do the same on the loop."""
    record(items)
    for member in current_job().members:
        await conn.execute("INSERT INTO effects (job) VALUES (%s)", [member.id])
    if "poison" in items:
        raise PoisonError("rolled back")
    if "outcomes" in items:
        raise Outcomes()


@job(batch=Batch(10, wait=0.2), executor="process")
def at_once_apart(items: list[Any]) -> None:
    at_once(items)


@job(batch=Batch(10, wait=0.2), payload="json")
def of_json(items: list[Any]) -> None:
    record(items)


@job(batch=Batch(40, wait=0.2), max_attempts=1, backoff=3600)
def never(items: list[Any]) -> None:
    record(items)
    raise PoisonError("the service is down")


@job(batch=Batch(10, wait=0.2))
def gather_or_sleep(items: list[Any]) -> None:
    record(items)
    while "sleep" in items:
        time.sleep(0.01)


@job(batch=Batch(100, wait=0.5), max_attempts=1)
def hundred(items: list[Any]) -> None:
    run(items)
