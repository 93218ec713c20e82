"""What every driver speaks, so that one harness can measure them all: `python -m benchmarks.drivers.NAME COMMAND …`.

    setup                        make the database (or its like) and the contender's tables, from nothing
    reset                        empty them
    enqueue JOBS CLIENTS         one job per transaction, from CLIENTS connections of this process at once
    bulk JOBS BATCH              the contender's own way for many at once, BATCH jobs a call
    paced RATE SECONDS BATCH CLIENTS   RATE jobs a second, BATCH of them a transaction (1: not in bulk)
    answers JOBS                 one at a time, after pauses: enqueue a job, and wait for what it returns
    worker CONFIGURATION         work until SIGTERM

A driver runs in the contender's own environment, so this file needs the standard library alone. What it is told
stands in the environment:

    BENCH_DATABASE_URL, BENCH_REDIS_URL   where to
    BENCH_RAN       a file; every job appends its number and the time, 16 bytes (two little-endian int64, ns)
    BENCH_SENT      a file; `paced` appends number, time before and time after its transaction, 24 bytes
    BENCH_FIRST     the number of the first job (default 0), so that several clients do not share numbers
    BENCH_PAYLOAD   bytes of additional payload of each job (default 0)
    BENCH_JOB_MS    how long a job takes (default 0): it sleeps, as its kind of function does
    BENCH_ANSWERS   set where results are wanted: contenders that keep none by default keep them then

`enqueue`, `bulk`, `paced` and `answers` connect, enqueue job number -1 (`answers`: some), print `ready`, wait for a
line on standard input, and print at their end one line of JSON: {"started": ns, "ended": ns, "jobs": N}, and of
`answers` also "seconds": how long each one took. All times are the system clock's.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import random
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, cast

DATABASE_URL = os.environ.get("BENCH_DATABASE_URL", "")
REDIS_URL = os.environ.get("BENCH_REDIS_URL", "")
FIRST = int(os.environ.get("BENCH_FIRST", "0"))
PAYLOAD = int(os.environ.get("BENCH_PAYLOAD", "0"))
JOB_SECONDS = float(os.environ.get("BENCH_JOB_MS", "0")) / 1000

ANSWERS = bool(os.environ.get("BENCH_ANSWERS"))
WARM_UP = 20  # questions

_ran = struct.Struct("<qq")
_sent = struct.Struct("<qqq")
_ran_fd = -1


def ran(number: int) -> None:
    """The body of every job: say that it ran, and when."""
    global _ran_fd
    if _ran_fd < 0:
        _ran_fd = os.open(os.environ["BENCH_RAN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(_ran_fd, _ran.pack(number, time.time_ns()))


def padding() -> str:
    """Additional payload, as text: of random letters, so that nothing compresses it away."""
    return "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=PAYLOAD))  # noqa: S311 (no secret)


class Producer(Protocol):
    """One connection that enqueues. Both may be `async`, or both plain functions; plain ones get a thread each."""

    def one(self, number: int) -> Any: ...
    def bulk(self, numbers: Sequence[int]) -> Any: ...


class Driver(Protocol):
    """What a driver defines; `serve(driver)` does the rest. `setup`, `reset`, `worker` may be `async`."""

    def setup(self) -> Any: ...
    def reset(self) -> Any: ...
    def producer(self) -> AbstractAsyncContextManager[Producer]: ...
    def worker(self, configuration: str) -> Any: ...


class Asker(Driver, Protocol):
    """A driver that has `answers`."""

    def asker(self) -> AbstractAsyncContextManager[Callable[[int], Any]]:
        """Connect, and give a function, plain or async, that takes a number through a job and returns the answer."""


def serve(driver: Driver, run: Callable[[Any], Any] = asyncio.run) -> None:
    """Do what the command line says. `run` runs a coroutine (such as `uvloop.run`, where a contender uses it)."""
    command, *words = sys.argv[1:]
    if command in ("setup", "reset", "worker"):
        result = getattr(driver, command)(*words)
        if inspect.isawaitable(result):
            run(_awaited(result))
        return
    numbers = [int(float(word)) for word in words]
    if command == "enqueue":
        run(_enqueue(driver, *numbers))
    elif command == "bulk":
        run(_bulk(driver, *numbers))
    elif command == "answers":
        run(_answers(cast("Asker", driver), *numbers))
    elif command == "paced":
        run(_paced(driver, float(words[0]), float(words[1]), int(words[2]), int(words[3])))
    else:
        sys.exit(f"{command}: no such command")


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _enqueue(driver: Driver, jobs: int, clients: int) -> None:
    shares = [range(FIRST + client, FIRST + jobs, clients) for client in range(clients)]

    async def send(producer: Producer, numbers: range) -> None:
        for number in numbers:
            await producer.one(number)

    def send_now(producer: Producer, numbers: range) -> None:
        for number in numbers:
            producer.one(number)

    await _measured(driver, send, send_now, shares, jobs)


async def _bulk(driver: Driver, jobs: int, batch: int) -> None:
    async def send(producer: Producer, numbers: range) -> None:
        for first in range(0, len(numbers), batch):
            await producer.bulk(numbers[first : first + batch])

    def send_now(producer: Producer, numbers: range) -> None:
        for first in range(0, len(numbers), batch):
            producer.bulk(numbers[first : first + batch])

    await _measured(driver, send, send_now, [range(FIRST, FIRST + jobs)], jobs)


async def _paced(driver: Driver, rate: float, seconds: float, batch: int, clients: int) -> None:
    jobs = max(batch * clients, int(rate * seconds))
    pause = batch * clients / rate
    sent = os.open(os.environ["BENCH_SENT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def times(numbers: range) -> Any:
        """Yield each part with the time at which to send it: random around an even beat."""
        begin = time.monotonic() + random.uniform(0, pause)  # noqa: S311 (no secret)
        for turn, first in enumerate(range(0, len(numbers), batch)):
            yield numbers[first : first + batch], begin + (turn + random.uniform(-0.3, 0.3)) * pause  # noqa: S311

    def note(part: Sequence[int], before: int) -> None:
        after = time.time_ns()
        os.write(sent, b"".join(_sent.pack(number, before, after) for number in part))

    async def send(producer: Producer, numbers: range) -> None:
        for part, when in times(numbers):
            await asyncio.sleep(max(0.0, when - time.monotonic()))
            before = time.time_ns()
            await (producer.one(part[0]) if batch == 1 else producer.bulk(part))
            note(part, before)

    def send_now(producer: Producer, numbers: range) -> None:
        for part, when in times(numbers):
            time.sleep(max(0.0, when - time.monotonic()))
            before = time.time_ns()
            producer.one(part[0]) if batch == 1 else producer.bulk(part)
            note(part, before)

    each = jobs // clients
    shares = [range(FIRST + client * each, FIRST + (client + 1) * each) for client in range(clients)]
    await _measured(driver, send, send_now, shares, each * clients)


async def _answers(driver: Asker, jobs: int) -> None:
    seconds = []
    async with driver.asker() as ask:
        for number in range(WARM_UP):
            await _awaited(ask(number))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        started = time.time_ns()
        for number in range(FIRST, FIRST + jobs):
            await asyncio.sleep(random.uniform(0.02, 0.06))  # noqa: S311 (no secret)
            before = time.perf_counter()
            answer = await _awaited(ask(number))
            seconds.append(time.perf_counter() - before)
            if answer != number:
                sys.exit(f"job {number} gave {answer!r}")
        ended = time.time_ns()
    print(json.dumps({"started": started, "ended": ended, "jobs": jobs, "seconds": seconds}), flush=True)


async def _measured(
    driver: Driver,
    send: Callable[[Producer, range], Any],
    send_now: Callable[[Producer, range], None],
    shares: Sequence[range],
    jobs: int,
) -> None:
    """Connect once for each share, wait for the word, send all shares at once, and say how long it took."""
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:
        producers = [await stack.enter_async_context(driver.producer()) for _ in shares]
        for producer in producers:
            await _awaited(producer.one(-1))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        started = time.time_ns()
        if inspect.iscoroutinefunction(producers[0].one):
            await asyncio.gather(*(send(producer, share) for producer, share in zip(producers, shares, strict=True)))
        else:
            threads = [threading.Thread(target=send_now, args=pair) for pair in zip(producers, shares, strict=True)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        ended = time.time_ns()
    print(json.dumps({"started": started, "ended": ended, "jobs": jobs}), flush=True)
