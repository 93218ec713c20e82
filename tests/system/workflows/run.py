"""Runs random workflows, and compares how they end with the model: `make workflows-model SEED=2 GRAPHS=10000`.

Workers are killed, and operators cancel, pause, retry and replay while the workflows run, and history is dropped. Once
nothing can go on, they are compared, acted upon, and compared again; in the end all that has failed is healed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal as signals
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

import psycopg

from tests.support import postgres
from tests.support.tasks import URL
from tests.support.worker import QUICK, Work, work
from tests.system.workflows import tasks
from tests.system.workflows.batch import Batch
from tests.system.workflows.graphs import random_graph

BATCH = 100  # graphs
KILLS_FOR = 10.0  # seconds of each batch


def run_graphs(conn: psycopg.Connection, seed: int, first: int, count: int, *, exact: bool) -> None:
    """Run graphs of a seed, in a database that has a worker and the tables of the tasks."""
    graphs = [random_graph(key, random.Random(f"{seed}:{key}")) for key in range(first, first + count)]  # noqa: S311
    wrong = Batch(conn, graphs, exact=exact).run()
    assert not wrong, "\n\n".join(
        [f"{len(wrong)} of the graphs {first} to {first + count - 1} of seed {seed}:", *wrong]
    )


@contextmanager
def killing(running: Work) -> Iterator[None]:
    """Kill a worker process now and then, for a while: what was killed is tried again after a longer one."""
    stop = threading.Event()
    until = time.monotonic() + KILLS_FOR

    def kill() -> None:
        while not stop.wait(random.uniform(0.3, 1.5)) and time.monotonic() < until:  # noqa: S311 (no secret)
            members = running.members()
            if members:
                with suppress(ProcessLookupError):
                    os.kill(random.choice(members), signals.SIGKILL)  # noqa: S311 (no secret)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def main() -> None:
    """Run a seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--graphs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first graph")
    parser.add_argument("--kills", action="store_true")
    asked = parser.parse_args()
    began, wrong = time.monotonic(), 0
    with postgres.start(None, "embedded") as server:
        url = server.take()
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(tasks.TABLES)
            options = ("-q", "default:8", "--processes", "2", *QUICK, "--import", "tests.system.workflows.tasks")
            with work(url, *options, env={URL: url}) as running:
                for first in range(asked.first, asked.first + asked.graphs, BATCH):
                    count = min(BATCH, asked.first + asked.graphs - first)
                    try:
                        with killing(running) if asked.kills else nullcontext():
                            run_graphs(conn, asked.seed, first, count, exact=not asked.kills)
                    except AssertionError as error:
                        wrong += 1
                        sys.stdout.write(f"{error}\n")
                    done = first + count - asked.first
                    sys.stdout.write(f"{done:,} graphs in {time.monotonic() - began:.0f} s\n")
                    sys.stdout.flush()
        server.give_back(url)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
