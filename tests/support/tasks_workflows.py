"""Steps of workflows for tests: they note that they ran, in a table of the test's own."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg

from pgjobs import complete, current_job, job, sleep, wait_for
from tests.support.tasks import database

NOTES = """
CREATE TABLE notes (n bigint GENERATED ALWAYS AS IDENTITY, name text, value text);
CREATE TABLE broken (name text PRIMARY KEY)
"""


def note(name: str, value: Any = None) -> None:
    """Write that a step ran. If its name is among the broken ones, fail."""
    with database() as conn:
        conn.execute("INSERT INTO notes (name, value) VALUES (%s, %s)", [name, None if value is None else repr(value)])
        if conn.execute("SELECT FROM broken WHERE name = %s", [name]).fetchone() is not None:
            raise ValueError(f"{name} is broken")


@job(max_attempts=1)
def step(name: str, *values: Any) -> str:
    note(name, values or None)
    return name


@job(max_attempts=1)
async def step_on_loop(name: str, *values: Any) -> str:
    await asyncio.to_thread(note, name, values or None)
    return name


@job(max_attempts=1, executor="process")
def step_apart(name: str, *values: Any) -> str:
    note(name, values or None)
    return name


@job(max_attempts=1, payload="json")
def step_in_json(name: str, *values: Any) -> str:
    note(name, values or None)
    return name


def plain(name: str) -> str:
    note(name)
    return name


@job
def numbers(count: int) -> list[int]:
    note("numbers")
    return list(range(count))


@job(max_attempts=1)
def square(number: int) -> int:
    note(f"square {number}")
    return number * number


@job
def slow_square(number: int) -> int:
    note("begin", number)
    time.sleep(0.05)
    note("end", number)
    return number * number


@job
def add_up(values: list[int]) -> int:
    note("add_up", values)
    return sum(values)


@job(max_attempts=1)
def ask(name: str) -> None:
    needs = current_job().needs
    note(name, sorted((need.name, need.status, need.error) for need in needs))


@job(max_attempts=3, backoff=0.05)
def grow(count: int, fails: int = 0) -> str:
    """Add steps; the first attempts fail after that."""
    flow = current_job().workflow
    first = flow.add(step, "grown")
    flow.map(square, range(count))
    flow.add(step, "after grown", first.result)
    note("grow")
    if current_job().attempt <= fails:
        raise RuntimeError("not yet")
    return "grew"


@job(max_attempts=3, backoff=0.05, executor="process")
def grow_apart(count: int) -> str:
    return grow(count)


@job(max_attempts=3, backoff=0.05)
async def grow_on_loop(count: int) -> str:
    return await asyncio.to_thread(grow, count)


@job(max_attempts=2, backoff=0.05)
def fails_once(name: str) -> str:
    note(name)
    if current_job().attempt == 1:
        raise RuntimeError("not yet")
    return name


@job(max_attempts=1)
def wait(name: str) -> None:
    try:
        got = wait_for(name)
    except Exception:
        got = "caught"
    note("got", got)


@job(max_attempts=1)
async def wait_on_loop(name: str) -> None:
    got = await asyncio.to_thread(wait_for, name)
    await asyncio.to_thread(note, "got", got)


@job(max_attempts=1, executor="process")
def wait_apart(name: str) -> None:
    note("got", wait_for(name))


@job(max_attempts=2, backoff=0.05)
def wait_a_moment() -> None:
    wait_for("never", timeout=0.2)


@job(max_attempts=1)
def sleeps() -> None:
    note("begins")
    sleep(0.2)
    sleep(0.2, name="second")
    note("ends")


@job(max_attempts=1, transaction=True)
def in_transaction(conn: psycopg.Connection, name: str) -> str:
    conn.execute("INSERT INTO notes (name) VALUES (%s)", [name])
    return f"{name}, and mine"


@job(max_attempts=1, transaction=True)
async def in_transaction_on_loop(conn: psycopg.AsyncConnection, name: str) -> str:
    await conn.execute("INSERT INTO notes (name) VALUES (%s)", [name])
    return f"{name}, and mine"


@job(max_attempts=1, result=True)
def complete_itself(name: str) -> str:
    with database() as conn, conn.transaction():
        conn.execute("INSERT INTO notes (name) VALUES (%s)", [name])
        complete(conn, result=f"{name}, and mine")
    return name


@job(max_attempts=1)
def complete_and_grow() -> None:
    with database() as conn, conn.transaction():
        complete(conn)
        current_job().workflow.add(step, "late")


@job(max_attempts=1)
def grow_and_complete() -> None:
    current_job().workflow.add(step, "early")
    with database() as conn, conn.transaction():
        complete(conn)
