"""Stages of pipelines for tests: they note what they got, in a table of the test's own."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg

from pgjobs import Batch, Cancel, Pipeline, Sequence, complete, current_job, job, pipeline
from tests.support import tasks
from tests.support.tasks import database

NOTES = """
CREATE TABLE notes (n bigint GENERATED ALWAYS AS IDENTITY, stage text, item text, meta jsonb,
                    waiting bigint, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE broken (item text PRIMARY KEY)
"""
SECONDS = "PGJOBS_TEST_STORE_SECONDS"


def note(stage: str, item: Any) -> None:
    """Write what a stage got. If it is among the broken items, fail."""
    with database() as conn:
        conn.execute(
            "INSERT INTO notes (stage, item, meta) VALUES (%s, %s, %s)",
            [stage, repr(item), psycopg.types.json.Jsonb(current_job().meta)],
        )
        if conn.execute("SELECT FROM broken WHERE item = %s", [repr(item)]).fetchone() is not None:
            raise ValueError(f"{item!r} is broken")


@job(max_attempts=1)
def double(item: int) -> int:
    note("double", item)
    return 2 * item


@job(max_attempts=1)
async def add_one(item: int) -> int:
    await asyncio.to_thread(note, "add_one", item)
    return item + 1


@job(max_attempts=1, executor="process")
def negate(item: int) -> int:
    note("negate", item)
    return -item


@job(max_attempts=1, payload="json")
def as_text(item: int) -> str:
    note("as_text", item)
    return str(item)


@job(max_attempts=1)
def store(item: Any) -> None:
    note("store", item)


@job(max_attempts=1)
def first_of(item: str) -> str | None:
    note("first_of", item)
    return item[0] if item else None


@job(max_attempts=1)
def count_up(most: int) -> Iterator[int]:
    note("count_up", most)
    yield from range(most)


@job(max_attempts=1)
async def count_on_loop(most: int) -> AsyncIterator[int]:
    for number in range(most):
        yield number


@job(max_attempts=1, executor="process")
def count_apart(most: int) -> Iterator[int]:
    yield from range(most)


@job(max_attempts=1)
def too_many(most: int) -> Iterator[int]:
    yield from range(10_001)


@job(max_attempts=1)
def not_picklable(item: int) -> Any:
    return threading.Lock()


@job(max_attempts=1)
def ends_itself(item: int) -> int:
    with database() as conn, conn.transaction():
        complete(conn)
    return item


@job(max_attempts=1)
def cancels(item: int) -> int:
    raise Cancel("not wanted")


@job(max_attempts=1, batch=Batch(10, wait=0.2))
def store_many(items: list[int]) -> None:
    note("store_many", sorted(items))


@job(max_attempts=1, transaction=True)
def store_within(conn: psycopg.Connection, item: int) -> None:
    conn.execute("INSERT INTO notes (stage, item) VALUES ('store_within', %s)", [repr(item)])


@job(max_attempts=3, backoff=0.05)
def count_waiting(item: int) -> None:
    """Note how many items wait here, slowly."""
    with database() as conn:
        conn.execute(
            "INSERT INTO notes (stage, item, waiting) SELECT 'store', %s, count(*) FROM pgjobs.jobs_waiting AS w "
            "WHERE pgjobs.stage_of_lane(w.lane) = 'slow/count_waiting'",
            [repr(item)],
        )
    time.sleep(float(os.environ.get(SECONDS, "0.02")))


@job(max_attempts=3, backoff=0.01, sequence=Sequence("{key}", on_failure="skip"))
def of_key(key: int, number: int) -> tuple[int, int]:
    """Fail once in a while, so that an order that is not kept shows."""
    if current_job().attempt == 1 and number % 7 == 3:
        raise ValueError("try again")
    return key, number


@job(max_attempts=1, sequence="{meta.key}")
def in_order(pair: tuple[int, int]) -> None:
    note("in_order", pair)


@job(max_attempts=9)
def say(what: str) -> str:
    return what


def die_once(stage: str, number: int) -> None:
    """Kill this process, with all that runs in it, when some items come by for the first time."""
    if number % 20 != {"gather": 0, "weigh": 4, "keep": 7}[stage]:
        return
    with database() as conn:
        died = conn.execute(
            "INSERT INTO deaths (stage, number) VALUES (%s, %s) ON CONFLICT DO NOTHING", [stage, number]
        ).rowcount
    if died:
        os.kill(os.getpid(), signal.SIGKILL)


@job(max_attempts=99, backoff=0.01)
def gather(number: int) -> Iterator[int]:
    yield 2 * number
    die_once("gather", 2 * number)
    yield 2 * number + 1


@job(max_attempts=99, backoff=0.01, queue="weigh")
async def weigh(number: int) -> tuple[int, int]:
    await asyncio.to_thread(die_once, "weigh", number)
    return number, number * number


@job(max_attempts=99, backoff=0.01, queue="keep", transaction=True)
def keep(conn: psycopg.Connection, item: tuple[int, int]) -> None:
    conn.execute("INSERT INTO notes (stage, item) VALUES ('keep', %s)", [str(item[0])])
    die_once("keep", item[0])


AnyPipeline = Pipeline[..., Any]
numbers = pipeline("numbers", double >> add_one >> negate >> as_text >> store, at_most=100)
fans_out = pipeline("fans-out", count_up >> double >> store, at_most=100)
fans_out_on_loop = pipeline("fans-out-on-loop", count_on_loop >> store, at_most=100)
fans_out_apart = pipeline("fans-out-apart", count_apart >> store, at_most=100)
floods = pipeline("floods", too_many >> store)
refused = pipeline("refused", not_picklable >> store)
early = pipeline("early", ends_itself >> store)
leaves = pipeline("leaves", cancels >> store)
nothing = pipeline("nothing", first_of >> store)
in_batches = pipeline("in-batches", double >> store_many, at_most=100)
within = pipeline("within", double >> store_within, at_most=100)
slow = pipeline("slow", double.options(queue="quick") >> count_waiting.options(queue="slow"), at_most=10)
by_key = pipeline("by-key", of_key >> in_order, at_most=20)
crossing = pipeline("crossing", say >> tasks.note)
deadly = pipeline("deadly", gather >> weigh >> keep, at_most=20)
