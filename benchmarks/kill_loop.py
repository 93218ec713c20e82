"""SIGKILL at a random moment, again and again: nothing lost, nothing stuck, nothing run twice that was not running.

    python -m benchmarks.kill_loop [URL] [--rounds 30] [--jobs 300] [--seed N]

Each round: two worker processes on jobs that append to a table. In turns one worker process, its supervisor, or all of
them are killed; a second supervisor looks after what the first one cannot.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psycopg
from benchmarks.common import database, say, scalar, worker
from benchmarks.tasks import append

from pgjobs import enqueue_many

KINDS = ("worker", "supervisor", "all")
OPTIONS = ("-q", "default:8", "--processes", 2, "--heartbeat", 0.5, "--rescue-after", 2, "--grace", 5)
PATIENCE = 60.0  # seconds until a job counts as stuck


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill(process: subprocess.Popen[bytes], kind: str, conn: psycopg.Connection, dice: random.Random) -> set[int]:
    """Kill some of it, and give the ids of the jobs that were running."""
    members = children(process.pid)
    victims = {
        "worker": [dice.choice(members)] if members else [],
        "supervisor": [process.pid],
        "all": [process.pid, *members],
    }[kind]
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)  # so that nothing changes while we look
    running = {row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs_live WHERE status = 'running'").fetchall()}
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    return running


def play(url: str, kind: str, jobs: int, dice: random.Random) -> Counter[str]:
    """Play one round, and give what was counted."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("TRUNCATE pgjobs.jobs, pgjobs.dead_jobs, appended")
        ids = {handle.id for handle in enqueue_many(conn, append, [(0.005,)] * jobs)}
        with worker(url, *OPTIONS) as process:
            while not scalar(conn, "SELECT count(*) FROM appended"):
                time.sleep(0.005)
            time.sleep(dice.uniform(0, 0.005 * jobs / 16))
            running = kill(process, kind, conn, dice)
            with worker(url, *OPTIONS):
                deadline = time.monotonic() + PATIENCE
                while scalar(conn, "SELECT count(*) FROM pgjobs.jobs_live") and time.monotonic() < deadline:
                    time.sleep(0.05)
        stuck = scalar(conn, "SELECT count(*) FROM pgjobs.jobs_live")
        ran = Counter(row[0] for row in conn.execute("SELECT job FROM appended").fetchall())
        completed = {row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs WHERE status = 'completed'").fetchall()}
        rows = scalar(conn, "SELECT count(*) FROM pgjobs.jobs")
    twice = {job for job, times in ran.items() if times > 1}
    return Counter(
        lost=len(ids - set(ran)) + len(ids - completed) - stuck,
        stuck=stuck,
        rows_too_many=rows - len(ids),
        running_when_killed=len(running),
        run_twice=len(twice),
        run_twice_though_not_running=len(twice - running),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))  # noqa: S311 (no secret)
    options = parser.parse_args()
    dice = random.Random(options.seed)  # noqa: S311 (the same)
    total: Counter[str] = Counter()
    began = time.monotonic()
    with database(options.url) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("CREATE TABLE appended (job bigint, attempt int)")
        for number in range(options.rounds):
            found = play(url, KINDS[number % len(KINDS)], options.jobs, dice)
            total.update(found)
    seconds = round(time.monotonic() - began)
    say(rounds=options.rounds, jobs=options.rounds * options.jobs, seed=options.seed, seconds=seconds, **total)
    wrong = ("lost", "stuck", "rows_too_many", "run_twice_though_not_running")
    assert not any(total[name] for name in wrong)


if __name__ == "__main__":
    main()
