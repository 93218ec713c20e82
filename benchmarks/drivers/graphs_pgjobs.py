"""pgjobs: `Workflow`, and one worker process with 20 slots."""

from __future__ import annotations

import os
import sys

import psycopg
from benchmarks.drivers.graphs import serve
from benchmarks.drivers.protocol import DATABASE_URL, ran

from pgjobs import Workflow, enqueue, job
from pgjobs.db import migrations


@job(summary=False)
def step(number: int) -> None:
    ran(number)


def fill(chains: int, length: int) -> None:
    from benchmarks.drivers.graphs_pgjobs import step  # by name: here this module is called "__main__"

    with psycopg.connect(DATABASE_URL, autocommit=True) as conn:
        for at in range(chains):
            flow = Workflow("chain")
            before = flow.add(step, at * length)
            for number in range(1, length):
                before = flow.add(step.options(after=[before]), at * length + number)
            enqueue(conn, flow)


def fan_in(steps: int) -> None:
    from benchmarks.drivers.graphs_pgjobs import step  # as above

    with psycopg.connect(DATABASE_URL, autocommit=True) as conn:
        flow = Workflow("fan-in")
        many = flow.map(step, range(steps))
        flow.add(step.options(after=[many]), steps)
        enqueue(conn, flow)


def work() -> None:
    command = [sys.executable, "-m", "pgjobs", "work", "--database-url", DATABASE_URL, "--log-level", "error"]
    os.execv(sys.executable, [*command, "-q", "default:20", "--import", "benchmarks.drivers.graphs_pgjobs"])


def prepare() -> None:
    migrations.upgrade(DATABASE_URL)


if __name__ == "__main__":
    serve(fill, fan_in, work, prepare)
