"""What limits, rates, sequences and fairness cost: jobs per second at 1, 100 and 10,000 keys, beside plain jobs.

    python -m benchmarks.limits [URL] [--jobs 20000] [--rounds 3] [--keys 1,100,10000] [--processes 1] [--only KIND]
    python -m benchmarks.limits --queues 8 --workers 2

The queue is full, the workers start, and run until nothing is left: from the first start to the last end, by
PostgreSQL's clock. In each round plain jobs are measured before and after each of the others, and the figure that
counts is the median of the rounds' ratios: that stands on a noisy machine where the figures themselves do not.

`--queues`: the jobs are divided among N queues, which each worker takes from; `--workers`: supervisors, each with
`--processes` of its own.

| kind | what |
| --- | --- |
| concurrency | `declare_limit("key:*", concurrency=1000)`, which is never reached: what looking costs |
| tight | `declare_limit("key:*", concurrency=10)`, which is: of one key ten run at once |
| rate | `declare_limit("key:*", rate="1000000/s")` |
| sequence | `sequence="{key}"`: of one key one runs after another, so it is measured with fewer jobs there |
| fairness | `fair_by="key"` |
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from typing import Any, NamedTuple

import psycopg
from benchmarks.common import database, say, worker
from benchmarks.limit_tasks import noop

from pgjobs import enqueue_many
from pgjobs.admin import remove_limit, set_limit
from pgjobs.flow.limits import LimitSettings
from pgjobs.flow.rates import Rate

SLOTS = 20
LONGEST = 120.0  # seconds that a drain may take
FEWER = 20  # of one sequence there are this many times fewer jobs
PATTERN = "key:*"
UNFINISHED = "SELECT EXISTS (SELECT FROM pgjobs.jobs WHERE status IN ('waiting', 'queued', 'running'))"
DONE = """
    SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at))::float8
    FROM pgjobs.jobs WHERE status = 'completed'
"""


class Kind(NamedTuple):
    """What is measured: the options of its jobs, and the limit that is set meanwhile."""

    options: dict[str, Any]
    limit: LimitSettings | None = None


PLAIN = Kind({})
KINDS = {
    "concurrency": Kind({"limit": "key:{key}"}, LimitSettings(1000)),
    "tight": Kind({"limit": "key:{key}"}, LimitSettings(10)),
    "rate": Kind({"limit": "key:{key}"}, LimitSettings(None, Rate(1_000_000, 1))),
    "sequence": Kind({"sequence": "{key}"}),
    "fairness": Kind({"fair_by": "key"}),
}


class Crew(NamedTuple):
    """What drains: `workers` supervisors with `processes` each, and the queues that all of them take from."""

    processes: int = 1
    workers: int = 1
    queues: int = 1

    @property
    def names(self) -> list[str]:
        return [f"queue{number}" for number in range(self.queues)]


def drain(url: str, kind: Kind, keys: int, jobs: int, crew: Crew) -> float:
    """Return the jobs per second of one drain.

    Raises:
        AssertionError: it was not done in time.

    """
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("TRUNCATE pgjobs.jobs, pgjobs.dead_jobs, pgjobs.buckets")
        if kind.limit is not None:
            set_limit(conn, PATTERN, kind.limit)
        with conn.transaction():
            for first, queue in enumerate(crew.names):
                own = [(number % keys,) for number in range(first, jobs, crew.queues)]
                enqueue_many(conn, noop.options(queue=queue, **kind.options), own)
        conn.execute("VACUUM ANALYZE pgjobs.jobs_live, pgjobs.jobs_waiting")
        conn.execute("CHECKPOINT")
        slots = max(1, SLOTS // crew.queues)
        queues = [argument for queue in crew.names for argument in ("-q", f"{queue}:{slots}")]
        with ExitStack() as stack:
            for _ in range(crew.workers):
                stack.enter_context(
                    worker(url, *queues, "--processes", crew.processes, "--import", "benchmarks.limit_tasks")
                )
            deadline = time.monotonic() + LONGEST
            while (conn.execute(UNFINISHED).fetchone() or (True,))[0]:
                assert time.monotonic() < deadline, "not done in time"
                time.sleep(0.05)
        remove_limit(conn, PATTERN)
        row = conn.execute(DONE).fetchone()
    assert row is not None
    assert row[0] == jobs
    return float(row[0] / row[1])


def measure(url: str, name: str, keys: int, jobs: int, rounds: int, crew: Crew) -> None:
    """Measure one kind at a number of keys, and print the figures."""
    kind = KINDS[name]
    own = jobs // FEWER if name == "sequence" and keys == 1 else jobs
    plain, found, ratios = [], [], []
    before = drain(url, PLAIN, keys, jobs, crew)
    for _ in range(rounds):
        this = drain(url, kind, keys, own, crew)
        after = drain(url, PLAIN, keys, jobs, crew)
        ratios.append(this / ((before + after) / 2))
        found.append(this)
        plain.append(after)
        before = after
    say(
        kind=name,
        keys=keys,
        jobs=own,
        **crew._asdict(),
        per_second=round(statistics.median(found)),
        plain_per_second=round(statistics.median(plain)),
        share=round(statistics.median(ratios), 2),
        shares=[round(ratio, 2) for ratio in ratios],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keys", default="1,100,10000")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--queues", type=int, default=1)
    parser.add_argument("--only", choices=KINDS, action="append")
    options = parser.parse_args()
    crew = Crew(options.processes, options.workers, options.queues)
    with database(options.url) as url:
        for name in options.only or KINDS:
            for keys in map(int, options.keys.split(",")):
                measure(url, name, keys, options.jobs, options.rounds, crew)


if __name__ == "__main__":
    main()
