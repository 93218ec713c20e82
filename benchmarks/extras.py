"""What a job pays for what surrounds it: a hook, a result, progress; beside the same job with nothing.

    python -m benchmarks.extras [URL] [--jobs 20000] [--rounds 3] [--only KIND]… [--to FILE]

The queue is full, one worker process starts, and runs until nothing is left. Each kind in turn, as often as there are
rounds. Jobs per second: from the first start to the last end, by PostgreSQL's clock. CPU: of the worker and of
PostgreSQL, an otherwise idle worker's start taken off.

| kind | what |
| --- | --- |
| plain | `@job` that does nothing |
| hook | the same with one `@around_job` that does nothing |
| metrics | the same as plain, with `--metrics-port` |
| scraped | the same as metrics, while these and the metrics of the installation are scraped every second |
| traced | the same as plain, with `pgjobs.otel`, a trace in each job's metadata, and no SDK |
| recorded | the same with an SDK that records each span, and drops them in batches |
| everything | scraped, recorded and hook at once |
| result | `@job(result=True)` that returns a number |
| progress | the same as plain, and says once how far it has come |
| apart | inserts a row in a transaction of its own, and is acknowledged as any other job |
| complete | the same, and calls `complete` in that transaction |
| transaction | the same with `@job(transaction=True)` |

The last two are compared with `apart`, all others with `plain`.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from benchmarks import extra_tasks as tasks
from benchmarks.common import database, scalar, worker
from benchmarks.counters import cpu_seconds
from benchmarks.server import look

from pgjobs import enqueue_many
from pgjobs.metrics import Collector

KINDS: dict[str, Any] = {
    "plain": tasks.nothing,
    "hook": tasks.nothing,
    "metrics": tasks.nothing,
    "scraped": tasks.nothing,
    "traced": tasks.nothing,
    "recorded": tasks.nothing,
    "everything": tasks.nothing,
    "result": tasks.number,
    "progress": tasks.report,
    "apart": tasks.apart,
    "complete": tasks.completes,
    "transaction": tasks.in_transaction,
}
HOOKS = {
    "hook": ("benchmarks.extra_hooks",),
    "traced": ("pgjobs.otel",),
    "recorded": ("benchmarks.extra_traces", "pgjobs.otel"),
    "everything": ("benchmarks.extra_traces", "pgjobs.otel", "benchmarks.extra_hooks"),
}
TRACED = {"traced", "recorded", "everything"}
SCRAPED = {"scraped", "everything"}
META = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
SCRAPE_EVERY = 1.0  # seconds; Prometheus is mostly told 15
BASES = {"complete": "apart", "transaction": "apart"}
SLOTS = 20
LONGEST = 120.0  # seconds that a drain may take
DONE = """
    SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at))::float8
    FROM pgjobs.jobs WHERE status = 'completed'
"""


class Cost(NamedTuple):
    """Of a drain: jobs per second; microseconds of CPU for each job, of the worker and of PostgreSQL."""

    per_second: float
    worker: float
    server: float


def drain(url: str, name: str, jobs: int) -> Cost:
    """Measure one drain.

    Raises:
        AssertionError: it was not done in time, or jobs did not complete.

    """
    options: tuple[object, ...] = ("-q", f"default:{SLOTS}", "--drain", "--import", "benchmarks.extra_tasks")
    for module in HOOKS.get(name, ()):
        options = (*options, "--hooks", module)
    port = free_port() if name in SCRAPED else 0
    if name == "metrics" or name in SCRAPED:
        options = (*options, "--metrics-port", port)
    task = KINDS[name].options(meta=META) if name in TRACED else KINDS[name]
    postmaster = look(url).pid
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(tasks.TABLE)
        conn.execute("TRUNCATE pgjobs.jobs, pgjobs.dead_jobs, pgjobs.results, pgjobs.progress, extra_rows")
        with conn.transaction():
            enqueue_many(conn, task, [(number,) for number in range(jobs)])
        conn.execute("VACUUM ANALYZE pgjobs.jobs_live")
        conn.execute("CHECKPOINT")
        server, own = cpu_seconds([postmaster] if postmaster else []), _reaped()
        with scraping(url, port), worker(url, *options) as process:
            process.wait(LONGEST)
        server = cpu_seconds([postmaster] if postmaster else []) - server
        own = _reaped() - own
        row = conn.execute(DONE).fetchone()
        assert row is not None
        assert row[0] == jobs, row
        if name == "result":
            assert scalar(conn, "SELECT count(*) FROM pgjobs.results") == jobs
        if name in ("apart", *BASES):
            assert scalar(conn, "SELECT count(*) FROM extra_rows") == jobs
    return Cost(row[0] / row[1], own, server)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def scraping(url: str, port: int) -> Iterator[None]:
    """Scrape the supervisor on this port (0: do not), and the installation, as Prometheus would, but more often."""
    ended = threading.Event()
    collector = Collector(url)

    def scrape() -> None:
        while not ended.wait(SCRAPE_EVERY):
            for _ in collector.collect():
                pass
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                answer.read()

    thread = threading.Thread(target=scrape)
    if port:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if port:
            thread.join()


def _reaped() -> float:
    times = os.times()
    return times.children_user + times.children_system


def measure(url: str, names: list[str], jobs: int, rounds: int) -> dict[str, Any]:
    """Run all rounds, and return the medians, and the medians of the rounds' ratios to what each is compared with."""
    found: dict[str, list[Cost]] = {name: [] for name in names}
    start = statistics.median(drain(url, "plain", 1).worker for _ in range(3))
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            cost = drain(url, name, jobs)
            own = Cost(cost.per_second, (cost.worker - start) / jobs * 1e6, cost.server / jobs * 1e6)
            found[name].append(own)
            print(
                f"round {number + 1}  {name:<11} {own.per_second:7,.0f}/s  CPU {own.worker:.1f} + {own.server:.1f} µs",
                file=sys.stderr,
                flush=True,
            )
    result: dict[str, Any] = {}
    for name, costs in found.items():
        pairs = list(zip(costs, found[BASES.get(name, "plain")], strict=True))
        ratios = [one.per_second / base.per_second for one, base in pairs]
        cpu = [(base.worker + base.server) / (one.worker + one.server) for one, base in pairs]
        result[name] = {
            **{field: round(statistics.median(getattr(cost, field) for cost in costs), 1) for field in Cost._fields},
            "share": round(statistics.median(ratios), 3),
            "share_by_cpu": round(statistics.median(cpu), 3),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=KINDS, action="append", default=[])
    parser.add_argument("--to", type=Path, metavar="FILE")
    options = parser.parse_args()
    began = time.monotonic()
    chosen = options.only or list(KINDS)
    names = list(dict.fromkeys(("plain", *(BASES[name] for name in chosen if name in BASES), *chosen)))
    with database(options.url) as url:
        result = measure(url, names, options.jobs, options.rounds)
    text = json.dumps({"jobs": options.jobs, "rounds": options.rounds, "kinds": result}, indent=1)
    print(text)
    if options.to:
        options.to.write_text(text + "\n")
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
