"""The same chains, fan-out and fan-in with others that have such a thing: steps that do nothing.

    python -m benchmarks.graphs [URL] [--rounds 3] [--only NAME]… [--to FILE]

| kind | what |
| --- | --- |
| chains | 100 chains of ten steps, enqueued before the worker starts: steps per second, from first to last |
| chain | one chain of 100 steps: milliseconds from a step to the next |
| fan-out | 1,000 steps that wait for nothing: steps per second |
| fan-in | one step after those: milliseconds from the last of them to this one |

Each in turn, medians of the rounds. Each contender is installed in an environment of its own, as for `bench-peers`.
Where a fan-in did not come, its entry says so.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from benchmarks.contender import Configuration, Contender
from benchmarks.contenders import PGJOBS
from benchmarks.environments import CanNotBeInstalled, prepare, versions
from benchmarks.machine import describe
from benchmarks.peers import PEERS
from benchmarks.server import Redis, Server, redis, server
from psycopg import sql

CHAINS, LENGTH, LONG, WIDE = 100, 10, 100, 1_000
LONGEST = 300.0  # seconds
ENTRY = struct.Struct("<qq")
DBOS = Contender(
    name="dbos",
    title="DBOS",
    default=Configuration("default", ""),
    best=Configuration("default", ""),
    jobs=0,
    packages=("dbos==3.4.0", "psycopg[binary]==3.3.9"),
)
WAYS = {
    "pgjobs": "`Workflow`, a process with 20 threads",
    "celery": "`chain` and `chord`, Redis as broker and backend, two child processes, prefetch 128",
    "rq": "`depends_on`, `SimpleWorker`",
    "dbos": "steps of a workflow, which follow each other in code; workflows that it enqueues and waits for",
}


def entries(file: Path) -> list[tuple[int, int]]:
    """Return which steps have run, and when (ns)."""
    data = file.read_bytes() if file.exists() else b""
    return list(ENTRY.iter_unpack(data[: len(data) // ENTRY.size * ENTRY.size]))


def run(
    contender: Contender, command: list[str], place: Server, cache: Redis | None, words: list[str], steps: int
) -> list[tuple[int, int]]:
    """Enqueue into an empty database (or Redis), work until all steps have run, and return when each did."""
    name = f"graphs_{contender.name}"
    with tempfile.TemporaryDirectory(prefix="pgjobs-bench-graphs-") as folder:
        file = Path(folder) / "ran"
        place.drop(name)
        with psycopg.connect(place.url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        if cache is not None:
            _flush(cache)
        environment = {**os.environ, "BENCH_RAN": str(file), "BENCH_DATABASE_URL": place.database(name)}
        if cache is not None:
            environment["BENCH_REDIS_URL"] = cache.url
        for do in (["prepare"], words):
            subprocess.run([*command, *do], env=environment, check=True, timeout=LONGEST, stdout=subprocess.DEVNULL)
        process = subprocess.Popen(
            [*command, "work"], env=environment, start_new_session=True, stdout=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + LONGEST
            while len(found := entries(file)) < steps:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise TimeoutError(f"{len(found)} of {steps} steps ran")
                time.sleep(0.1)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            place.drop(name)
    return found


def _flush(cache: Redis) -> None:
    port = cache.url.rpartition(":")[2].partition("/")[0]
    subprocess.run(["redis-cli", "-p", port, "flushall"], check=True, stdout=subprocess.DEVNULL)


def chains(found: list[tuple[int, int]]) -> dict[str, float]:
    times = [at for _, at in found]
    return {"chains": (len(times) - 1) / (max(times) - min(times)) * 1e9}


def chain(found: list[tuple[int, int]]) -> dict[str, float]:
    times = [at for _, at in found]
    return {"chain": (max(times) - min(times)) / (LONG - 1) / 1e6}


def fan(found: list[tuple[int, int]]) -> dict[str, float]:
    times = [at for number, at in found if number < WIDE]
    return {
        "fan-out": (WIDE - 1) / (max(times) - min(times)) * 1e9,
        "fan-in": (min(at for number, at in found if number == WIDE) - max(times)) / 1e6,
    }


PARTS: list[tuple[Callable[[list[tuple[int, int]]], dict[str, float]], list[str], int]] = [
    (chains, ["chains", str(CHAINS), str(LENGTH)], CHAINS * LENGTH),
    (chain, ["chains", "1", str(LONG)], LONG),
    (fan, ["fan-in", str(WIDE)], WIDE + 1),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make databases on (default: an embedded one)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=WAYS, action="append", default=[])
    parser.add_argument("--to", type=Path, metavar="FILE")
    options = parser.parse_args()
    chosen = [each for each in (PGJOBS, *PEERS, DBOS) if each.name in (options.only or WAYS)]
    result: dict[str, Any] = {}
    with ExitStack() as stack:
        place, cache = stack.enter_context(server(options.url)), stack.enter_context(redis())
        commands: dict[str, list[str]] = {}
        for each in chosen:
            result[each.name] = {"title": each.title, "way": WAYS[each.name], "figures": {}}
            try:
                commands[each.name] = [*prepare(each)[:-1], f"benchmarks.drivers.graphs_{each.name}"]
                result[each.name]["versions"] = versions(each)
            except CanNotBeInstalled as error:
                result[each.name]["left_out"] = str(error)
        for number in range(options.rounds):
            for each in chosen if number % 2 == 0 else chosen[::-1]:
                if each.name not in commands:
                    continue
                for read, words, steps in PARTS:
                    try:
                        figures = read(run(each, commands[each.name], place, cache, words, steps))
                    except (TimeoutError, subprocess.SubprocessError) as error:
                        result[each.name].setdefault("failures", []).append(f"{words[0]}: {type(error).__name__}")
                        figures = {}
                        print(f"{each.name:<8} {words[0]} FAILED: {error}", file=sys.stderr, flush=True)
                    for kind, value in figures.items():
                        result[each.name]["figures"].setdefault(kind, []).append(value)
                        print(f"round {number + 1}  {each.name:<8} {kind} {value:,.1f}", file=sys.stderr, flush=True)
        for each in result.values():
            each["figures"] = {kind: round(median(values), 1) for kind, values in each["figures"].items()}
        text = json.dumps({**describe(place, cache), "contenders": result}, indent=1, ensure_ascii=False)
    print(text)
    if options.to:
        options.to.write_text(text + "\n")


if __name__ == "__main__":
    main()
