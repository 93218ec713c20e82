"""Jobs per second of `pgjobs work --drain` on no-op jobs, beside the hot SQL alone, measured in turns.

    python -m benchmarks.drain [URL] [--jobs 100000] [--rounds 3] [--slots 10]

Of each round: the raw SQL with one pair of connections, a worker with one process, and the same with two. From the
first claim to the last acknowledgement; every id has to be in `completed` once.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict

import psycopg
from benchmarks import raw_sql
from benchmarks.common import database, say, scalar, worker
from benchmarks.tasks import noop

from pgjobs.payload import dump

BATCH = 1_000  # as many as a worker claims at most


def fill(url: str, jobs: int) -> None:
    """Put the jobs in, and a row for each of the workers that the raw SQL plays."""
    raw_sql.fill(url, jobs, dump(noop, (1,), {}))
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO pgjobs.workers (id, host, pid, queues, version, heartbeat_at) "
            "SELECT n, 'raw', 0, '{}', '0', 'infinity' FROM generate_series(1, 2) AS n ON CONFLICT DO NOTHING"
        )
        conn.execute("SELECT setval(pg_get_serial_sequence('pgjobs.workers', 'id'), 100, true)")


def check(url: str, jobs: int) -> float:
    """Assert that each job was completed once, and give the seconds from the first claim to the last answer."""
    with psycopg.connect(url, autocommit=True) as conn:
        assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs") == jobs
        assert scalar(conn, "SELECT count(DISTINCT id) FROM pgjobs.jobs WHERE status = 'completed'") == jobs
        return float(
            scalar(conn, "SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM pgjobs.jobs_history")
        )


def measure_raw(url: str, jobs: int, pairs: int) -> float:
    fill(url, jobs)
    raw_sql.drain(url, BATCH, pairs)
    return jobs / check(url, jobs)


def measure_worker(url: str, jobs: int, processes: int, slots: int) -> float:
    fill(url, jobs)
    with worker(url, "--drain", "-q", f"bench:{slots}", "--processes", processes) as process:
        assert process.wait() == 0
    return jobs / check(url, jobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=10)
    options = parser.parse_args()
    figures: dict[str, list[float]] = defaultdict(list)
    with database(options.url) as url:
        for _ in range(options.rounds):
            for count in (1, 2):
                figures[f"raw_{count}"].append(measure_raw(url, options.jobs, count))
                figures[f"worker_{count}"].append(measure_worker(url, options.jobs, count, options.slots))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    say(
        jobs=options.jobs,
        rounds=options.rounds,
        per_second={name: round(value) for name, value in medians.items()},
        ratio_1=round(medians["worker_1"] / medians["raw_1"], 2),
        ratio_2=round(medians["worker_2"] / medians["raw_2"], 2),
        all={name: [round(value) for value in values] for name, values in figures.items()},
    )


if __name__ == "__main__":
    main()
