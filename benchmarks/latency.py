"""Pick-up latency of an idle worker: from just before the INSERT is sent to the first line of the job.

    python -m benchmarks.latency [URL] [--jobs 200]

With one queue, and with five in turns. The pauses between jobs are random, and long enough for the worker to be idle.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

import psycopg
from benchmarks.common import database, percentile, say, scalar, worker
from benchmarks.tasks import ping

from pgjobs import enqueue


def measure(url: str, jobs: int, queues: int) -> dict[str, float]:
    names = [f"queue{number}" for number in range(queues)]
    options = [word for name in names for word in ("-q", f"{name}:4")]
    with (
        tempfile.TemporaryDirectory() as directory,
        psycopg.connect(url, autocommit=True) as conn,
        worker(url, "--import", "benchmarks.tasks", *options),
    ):
        path = Path(directory) / "latencies"
        path.touch()
        while scalar(conn, "SELECT count(*) FROM pgjobs.queues WHERE doorbell_until > now()") < queues:
            time.sleep(0.05)
        for number in range(jobs):
            time.sleep(random.uniform(0.05, 0.15))  # noqa: S311 (no secret)
            enqueue(conn, ping.options(queue=names[number % queues]), str(path), time.monotonic())
        while len(latencies := path.read_text().split()) < jobs:
            time.sleep(0.05)
    took = [float(value) * 1000 for value in latencies]
    return {
        "p50_ms": round(percentile(took, 50), 1),
        "p99_ms": round(percentile(took, 99), 1),
        "max_ms": round(max(took), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--jobs", type=int, default=200)
    options = parser.parse_args()
    with database(options.url) as url:
        one = measure(url, options.jobs, 1)
        five = measure(url, options.jobs, 5)
    say(jobs=options.jobs, one_queue=one, five_queues=five)


if __name__ == "__main__":
    main()
