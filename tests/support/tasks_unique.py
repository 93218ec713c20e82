"""A job with a unique key, and a program that enqueues it a lot, beside others that do the same."""

from __future__ import annotations

import random
import sys
import time
from importlib import import_module

import psycopg

from pgjobs import Unique, enqueue, enqueue_many, job
from tests.support import tasks

KEYS = 60


@job(unique="touched:{number}", max_attempts=50)
def touch(number: int) -> None:
    """Take a moment."""
    time.sleep(0.001)


@job(unique="held:{number}")
def hold(number: int, seconds: float) -> None:
    """Leave a trace, where there is a table for it, and take some time."""
    if seconds > 100:
        tasks.note(str(number), seconds)
    time.sleep(seconds)


@job(unique="held:{number}")
async def hold_async(number: int, seconds: float) -> None:
    """Do the same on the loop."""
    await tasks.note_async(str(number), seconds)


def main(url: str, rounds: int, seed: int) -> None:
    """Enqueue keys that overlap with those of the others, in another order each time; print what was new."""
    vars(import_module("pgjobs.enqueueing"))["ROWS_AT_ONCE"] = 20  # so that there are several statements
    order = random.Random(seed)  # noqa: S311 (no secret)
    job = touch.options(priority=order.randrange(10))
    with psycopg.connect(url) as conn:
        for _ in range(rounds):
            numbers = order.sample(range(KEYS), 50)
            key = Unique("touched:{number}", on_conflict="skip" if order.random() < 0.5 else "replace")
            changed = job.options(unique=key)
            handles = enqueue_many(conn, changed, [(number,) for number in numbers])
            assert len({handle.id for handle in handles}) == 50
            if order.random() < 0.2:
                conn.rollback()
                continue
            conn.commit()
            handles.append(enqueue(conn, changed, numbers[0]))
            conn.commit()
            print(*(handle.id for handle in handles if not handle.conflict), flush=True)


if __name__ == "__main__":
    from tests.support import tasks_unique  # under its own name: no worker can import __main__

    tasks_unique.main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
