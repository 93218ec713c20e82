"""What workflows cost, beside plain jobs in the same run.

    python -m benchmarks.workflows [URL] [--steps 20000] [--rounds 3] [--large 100000] [--listed 1000000] [--only KIND]…

| kind | what |
| --- | --- |
| chains | chains of ten steps, as many as make `--steps`; one worker process drains them, and as many plain jobs |
| batches | as many jobs in batches of 500, one worker process; and as many plain jobs |
| chain | one chain of 300 steps: milliseconds from one start to the next |
| fan-in | 10,000 steps and one after all of them: milliseconds from the last end to the start of that one |
| enqueue | a workflow of `--large` steps, built and inserted; beside `enqueue_many` of as many jobs |
| list | the first page of the listing, with `--listed` workflows that have ended; also of one status and by name |

Medians of rounds that take turns; times by PostgreSQL's clock, but for enqueueing and listing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import psycopg
from benchmarks.common import database, say, scalar, worker
from benchmarks.workflow_tasks import last, step, together

from pgjobs import Workflow, enqueue, enqueue_many
from pgjobs.admin import list_workflows

SLOTS = 20
LONGEST = 300.0  # seconds that a drain may take
CHAIN = 10  # steps of each of many chains
LONG_CHAIN = 300  # steps of one
WIDE = 10_000  # steps of a fan-in
TABLES = (
    "pgjobs.jobs, pgjobs.dead_jobs, pgjobs.dependencies, pgjobs.workflows, pgjobs.workflow_steps, "
    "pgjobs.workflow_counts, pgjobs.workflow_callbacks"
)
UNFINISHED = "SELECT EXISTS (SELECT FROM pgjobs.jobs WHERE status IN ('waiting', 'queued', 'running'))"
RATE = """
    SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at))::float8
    FROM pgjobs.jobs WHERE status = 'completed'
"""
STEP = """
    SELECT extract(epoch FROM max(started_at) - min(started_at))::float8 * 1000 / (count(*) - 1)
    FROM pgjobs.jobs WHERE status = 'completed'
"""
TO_LAST = """
    SELECT extract(epoch FROM max(started_at) FILTER (WHERE task LIKE '%%last')
                   - max(finished_at) FILTER (WHERE task NOT LIKE '%%last'))::float8 * 1000
    FROM pgjobs.jobs WHERE status = 'completed'
"""


def drained(url: str, conn: psycopg.Connection, fill: Callable[[], object], query: str) -> float:
    """Enqueue into empty tables, have one worker process run all of it, and return what the query says then.

    Raises:
        AssertionError: it was not done in time.

    """
    conn.execute(f"TRUNCATE {TABLES}")
    with conn.transaction():
        fill()
    conn.execute("VACUUM ANALYZE pgjobs.jobs_live, pgjobs.jobs_waiting, pgjobs.dependencies, pgjobs.workflow_steps")
    conn.execute("CHECKPOINT")
    with worker(url, "-q", f"default:{SLOTS}", "--import", "benchmarks.workflow_tasks"):
        deadline = time.monotonic() + LONGEST
        while scalar(conn, UNFINISHED):
            assert time.monotonic() < deadline, "not done in time"
            time.sleep(0.05)
    return float(scalar(conn, query))


def chains(conn: psycopg.Connection, number: int, length: int) -> None:
    """Enqueue chains, one workflow each."""
    for _ in range(number):
        flow = Workflow("chain")
        before = flow.add(step, 0)
        for at in range(1, length):
            before = flow.add(step.options(after=[before]), at)
        enqueue(conn, flow)


def fan_in(conn: psycopg.Connection) -> None:
    """Enqueue many steps, and one that waits for all of them."""
    flow = Workflow("fan-in")
    many = flow.map(step, range(WIDE))
    flow.add(last.options(after=[many]))
    enqueue(conn, flow)


def timed(conn: psycopg.Connection, do: Callable[[], object]) -> float:
    """Return the seconds that something takes, with its commit, in empty tables."""
    conn.execute(f"TRUNCATE {TABLES}")
    conn.execute("CHECKPOINT")
    began = time.perf_counter()
    with conn.transaction():
        do()
    return time.perf_counter() - began


def large(conn: psycopg.Connection, steps: int) -> None:
    """Build and enqueue a workflow of many steps."""
    flow = Workflow("large")
    flow.map(step, range(steps))
    enqueue(conn, flow)


def listing(conn: psycopg.Connection, number: int) -> dict[str, float]:
    """Return the milliseconds of pages of the listing, the longest of ten each."""
    conn.execute(f"TRUNCATE {TABLES}")
    conn.execute(
        "INSERT INTO pgjobs.workflows (name, status, steps, completed, ended_at)"
        " SELECT 'flow ' || n %% 100, CASE WHEN n %% 1000 = 0 THEN 'failed' ELSE 'completed' END, 9, 9, now()"
        " FROM generate_series(1, %s) AS n",
        [number],
    )
    conn.execute("VACUUM ANALYZE pgjobs.workflows")
    pages: dict[str, dict[str, Any]] = {"all": {}, "failed": {"status": "failed"}, "named": {"name": "flow 42"}}
    found: dict[str, float] = {}
    for page, given in pages.items():
        times = []
        for _ in range(10):
            began = time.perf_counter()
            assert list_workflows(conn, **given)
            times.append((time.perf_counter() - began) * 1000)
        found[page] = round(max(times), 1)
    return found


def main() -> None:
    kinds = ("chains", "batches", "chain", "fan-in", "enqueue", "list")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--listed", type=int, default=1_000_000)
    parser.add_argument("--only", choices=kinds, action="append")
    options = parser.parse_args()
    with database(options.url) as url, psycopg.connect(url, autocommit=True) as conn:
        jobs, rounds = options.steps, range(options.rounds)

        def plain(number: int) -> None:
            enqueue_many(conn, step, [(at,) for at in range(number)])

        def batches() -> None:
            enqueue_many(conn, together, [(at,) for at in range(jobs)])

        for kind in options.only or kinds:
            if kind in ("chains", "batches"):
                fill = batches if kind == "batches" else lambda: chains(conn, jobs // CHAIN, CHAIN)
                pairs = [
                    (drained(url, conn, fill, RATE), drained(url, conn, lambda: plain(jobs), RATE)) for _ in rounds
                ]
                say(
                    kind=kind,
                    jobs=jobs,
                    per_second=round(median(flow for flow, _ in pairs)),
                    plain_per_second=round(median(one for _, one in pairs)),
                    share=round(median(flow / one for flow, one in pairs), 2),
                )
            elif kind == "chain":
                times = [drained(url, conn, lambda: chains(conn, 1, LONG_CHAIN), STEP) for _ in rounds]
                say(kind=kind, steps=LONG_CHAIN, ms_per_step=round(median(times), 2))
            elif kind == "fan-in":
                times = [drained(url, conn, lambda: fan_in(conn), TO_LAST) for _ in rounds]
                say(kind=kind, steps=WIDE, ms_to_last=round(median(times), 1), all=[round(one, 1) for one in times])
            elif kind == "enqueue":
                taken = [
                    (
                        timed(conn, lambda: large(conn, options.large)),
                        timed(conn, lambda: plain(options.large)),
                    )
                    for _ in rounds
                ]
                say(
                    kind=kind,
                    steps=options.large,
                    per_second=round(options.large / median(flow for flow, _ in taken)),
                    bulk_per_second=round(options.large / median(many for _, many in taken)),
                    share=round(median(many / flow for flow, many in taken), 2),
                )
            else:
                say(kind=kind, workflows=options.listed, ms=listing(conn, options.listed))


if __name__ == "__main__":
    main()
