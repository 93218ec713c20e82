"""Jobs that return something, and keep it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from pgjobs import (
    Limit,
    Retry,
    Sequence,
    Snooze,
    as_completed,
    complete,
    current_job,
    enqueue,
    job,
    result,
    results,
)
from tests.support.tasks import URL, database


@dataclass(frozen=True)
class Pdf:
    """What is made of a document."""

    pages: int


@job(result=True)
def render(pages: int) -> Pdf:
    return Pdf(pages)


@job(result=True, timeout=30)
def render_in_time(pages: int) -> Pdf:
    return Pdf(pages)


@job(result=True, executor="process")
def render_apart(pages: int) -> Pdf:
    return Pdf(pages)


@job(result=timedelta(hours=1))
async def fetch(pages: int) -> Pdf:
    await asyncio.sleep(0)
    return Pdf(pages)


@job(result=True, timeout=30)
async def fetch_in_time(pages: int) -> Pdf:
    await asyncio.sleep(0)
    return Pdf(pages)


@job(result=True, executor="thread")
async def fetch_in_thread(pages: int) -> Pdf:
    return Pdf(pages)


@job(result=True, sequence=Sequence("s"))
def in_sequence(number: int) -> int:
    return number


@job(result=True, limit=Limit("results", concurrency=1))
def in_limit(number: int) -> int:
    return number


@job(result=True, breaker="results")
def behind_breaker(number: int) -> int:
    return number


@job(payload="json", result=True)
def as_json(value: Any = None) -> Any:
    return value


@job
def keep_nothing(number: int) -> int:
    return number


@job(result=True)
def nothing() -> None:
    """Return nothing, which is kept as well."""


@job(result=True)
def text_of(length: int) -> str:
    return "x" * length


@job(result=True, executor="process")
def text_apart(length: int) -> str:
    return "x" * length


@job(result=True)
def a_lock() -> Any:
    return threading.Lock()


@job(result=True, executor="process")
def a_lock_apart() -> Any:
    return threading.Lock()


@job(payload="json", result=True)
def not_in_json() -> Any:
    return {1, 2}


@job(result=True, max_attempts=2, backoff=0)
def fail(text: str) -> int:
    raise ValueError(text)


@job(result=True)
def after_two_tries() -> int:
    if current_job().attempt < 2:
        raise Retry(in_seconds=0)
    return current_job().attempt


@job(result=True)
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@job(result=True)
def complete_itself(number: int) -> int:
    with database() as conn, conn.transaction():
        complete(conn, result=number)
    return -number


@job(result=True)
def snooze(seconds: float) -> None:
    raise Snooze(seconds)


@job(result=True)
def wait_for_another(wait: str) -> int:
    """Enqueue a job into the queue that this one runs in, and wait for it, in one of three ways."""
    with database() as conn:
        handle = enqueue(conn, render, 1)
        found = {
            "result": lambda: result(conn, handle),
            "results": lambda: results(conn, [handle])[0],
            "as_completed": lambda: next(iter(as_completed(conn, [handle])))[1],
        }[wait]()
    return found.pages


@job(result=True)
async def wait_on_loop() -> int:
    """Do it on the event loop."""
    async with await psycopg.AsyncConnection.connect(os.environ[URL], autocommit=True) as conn:
        return (await result(conn, await enqueue(conn, render, 1))).pages


@job(result=True, executor="process")
def wait_in_child() -> int:
    """Do it in a child process."""
    return wait_for_another("result")
