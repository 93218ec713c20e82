"""The application that the tests of the test kit have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg

from pgjobs import Batch, Cancel, Limit, Retry, Snooze, complete, current_job, enqueue, job

calls: list[Any] = []
here: dict[str, Any] = {}
"""`conn`: the connection of the test, as applications have theirs somewhere."""


@job(queue="mail", max_attempts=3)
def send_receipt(order_id: int, *, copy: bool = False) -> None:
    calls.append((order_id, copy, current_job().attempt))


@job(result=True)
def double(number: int) -> int:
    return 2 * number


@job(max_attempts=3)
def flaky(times: int) -> None:
    calls.append(current_job().attempt)
    if current_job().attempt <= times:
        raise ConnectionError("smtp")


@job
def recurse(left: int) -> None:
    calls.append(left)
    if left:
        enqueue(here["conn"], recurse, left - 1)


@job
async def in_loop(number: int) -> None:
    import asyncio

    await asyncio.sleep(0)
    calls.append(number)


@job(max_attempts=2)
def write_and_raise(text: str) -> None:
    here["conn"].execute("INSERT INTO notes VALUES (%s)", [text])
    raise ValueError(text)


@job(transaction=True, max_attempts=2)
def book(conn: psycopg.Connection[Any], text: str) -> None:
    conn.execute("INSERT INTO notes VALUES (%s)", [text])


@job(max_attempts=2)
def book_itself(text: str) -> None:
    conn = here["conn"]
    conn.execute("INSERT INTO notes VALUES (%s)", [text])
    complete(conn)


@job(max_attempts=2)
def charge_once(order: int) -> None:
    charged = current_job().once("charge", charge, order)
    current_job().progress(1, 2, f"charged {charged}", state={"charged": charged})
    if current_job().attempt == 1:
        raise ConnectionError("mail")
    calls.append(current_job().state)


def charge(order: int) -> int:
    calls.append(f"charge {order}")
    return order * 10


@job
def snoozes() -> None:
    if not calls:
        calls.append("snoozed")
        raise Snooze(timedelta(hours=1))
    calls.append("awake")


@job
def cancels() -> None:
    raise Cancel("gone")


@job(max_attempts=2)
def retries_later() -> None:
    raise Retry(in_seconds=3600, reason="not yet")


@job(limit=Limit("api", rate="1/min"))
def limited(number: int) -> None:
    calls.append(number)


@job(batch=Batch(10, wait=60))
def index(docs: list[int]) -> None:
    calls.append(sorted(docs))


@job
def commits() -> None:
    here["conn"].commit()


@job
def calls_back(function: Callable[[], None]) -> None:
    function()
