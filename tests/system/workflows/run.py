"""Runs random workflows, and compares how they end with the model: `make workflows-model SEED=2 GRAPHS=10000`.

Each batch of graphs is run to where nothing can go on. Then all that has failed is healed and replayed, and the
workflows are compared once more.
"""

from __future__ import annotations

import argparse
import os
import random
import signal as signals
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import psycopg

from pgjobs import admin, enqueue, signal
from tests.support import postgres
from tests.support.tasks import URL
from tests.support.worker import QUICK, Work, work
from tests.system.workflows import tasks
from tests.system.workflows.graphs import Graph, build, random_graph
from tests.system.workflows.oracle import Expected, Unit, expect
from tests.system.workflows.tasks import FOR_GOOD

WITHIN = 240.0  # seconds that a batch may take
BATCH = 100  # graphs
KILLS_FOR = 10.0  # seconds of each batch


class Batch:
    """Some graphs that run at the same time in one database. `exact`: nothing is killed, so runs can be counted."""

    def __init__(self, conn: psycopg.Connection, graphs: list[Graph], *, exact: bool) -> None:
        self._conn, self._graphs, self._exact = conn, graphs, exact
        self._is_healed = False
        self._handles: dict[int, Any] = {}
        self._units: dict[int, dict[int, Unit]] = {}  # of each graph: its jobs
        self._runs: dict[int, Counter[Unit]] = defaultdict(Counter)

    def run(self) -> None:
        """Enqueue, wait, compare; heal, wait, compare."""
        self._enqueue()
        self._wait()
        first = {graph.key: self._compare(graph, expect(graph)) for graph in self._graphs}
        self._conn.execute("UPDATE fates SET fails = 0")
        self._is_healed = True
        letters = [row[0] for row in self._conn.execute("SELECT id FROM pgjobs.dead_jobs")]
        admin.replay_dead(self._conn, letters)
        self._wait()
        for graph in self._graphs:
            self._compare(graph, expect(graph, healed=first[graph.key]))
        self._check_effects()

    def _enqueue(self) -> None:
        for graph in self._graphs:
            flow, steps = build(graph)
            fates = [
                (graph.key, plan.number, n, fails)
                for plan in graph.plans
                for n, fails in [(-1, plan.fails), *enumerate(plan.width or []), *enumerate(plan.grows)]
                if fails
            ]
            with self._conn.transaction(), self._conn.cursor() as cursor:
                cursor.executemany("INSERT INTO fates VALUES (%s, %s, %s, %s)", fates)
                handle = self._handles[graph.key] = enqueue(self._conn, flow)
            units = self._units[graph.key] = {}
            for plan in graph.plans:
                jobs = handle.jobs(steps[plan.number])
                for n, job in enumerate(jobs):
                    units[job.id] = (plan.number, n if plan.width is not None else -2 if plan.over else -1)
            cancelled = [handle.job(steps[plan.number]) for plan in graph.plans if plan.is_cancelled]
            if cancelled:
                admin.cancel_jobs(self._conn, cancelled)
            if any(plan.waits for plan in graph.plans):
                signal(self._conn, handle, "go")

    def _wait(self) -> None:
        """Wait until nothing in these workflows can go on."""
        ids = [handle.id for handle in self._handles.values()]
        deadline = time.monotonic() + WITHIN
        while True:
            left = self._conn.execute(
                "SELECT id FROM pgjobs.workflows WHERE id = ANY (%s) AND status = 'running'", [ids]
            ).fetchall()
            if not left:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(left)} workflows still run: {left[:5]}")
            time.sleep(0.05)

    def _compare(self, graph: Graph, expected: Expected) -> dict[Unit, str]:
        handle, found = self._handles[graph.key], self._found(graph)
        what = f"graph {graph.key}: {graph.plans}"
        assert found == expected.states, f"{_difference(found, expected.states)}\n{what}"
        row = admin.list_workflows(self._conn, limit=1, before=handle.id + 1)[0]
        counts = Counter(expected.states.values())
        assert (row.status, row.steps) == (expected.status, len(found)), f"{row}\n{what}"
        for how in ("completed", "failed", "cancelled", "skipped"):
            assert getattr(row, how) == counts[how], f"{how}: {row}\n{what}"
        assert row.active == 0, f"{row}\n{what}"
        self._check_runs(graph, expected, what)
        return found

    def _found(self, graph: Graph) -> dict[Unit, str]:
        rows = self._conn.execute(
            "SELECT s.job_id, s.parent, s.n, s.status, w.held FROM pgjobs.workflow_steps AS s "
            "LEFT JOIN pgjobs.jobs_waiting AS w ON w.id = s.job_id WHERE s.workflow_id = %s ORDER BY s.job_id",
            [self._handles[graph.key].id],
        ).fetchall()
        units = self._units[graph.key]
        found: dict[Unit, str] = {}
        for job, parent, n, status, held in rows:
            if parent is not None:
                number, of = units[parent]
                units[job] = (number, n + 1000 if of == -2 else n)
            found[units[job]] = status or ("waiting" if held == "needs" else "active")
        return found

    def _check_runs(self, graph: Graph, expected: Expected, what: str) -> None:
        rows = self._conn.execute(
            "SELECT step, n, array_agg(at ORDER BY at) FILTER (WHERE NOT ends), max(at) FILTER (WHERE ends) "
            "FROM runs WHERE graph = %s GROUP BY 1, 2",
            [graph.key],
        ).fetchall()
        began = {(step, n): starts for step, n, starts, _ in rows}
        ended = {(step, n): end for step, n, _, end in rows}
        for unit, how in expected.states.items():
            runs = began.get(unit, [])
            if unit[1] == -2:
                continue
            if how in ("waiting", "cancelled", "skipped"):
                assert not runs, f"{unit} ran and is {how}\n{what}"
            elif how == "completed":
                assert ended.get(unit), f"{unit} has completed and did not run\n{what}"
            if self._exact:
                fails = self._fails(graph, unit)
                wanted = {"completed": {2 if fails else 1}, "failed": {1}}.get(how, {0})
                if self._is_healed and fails and how == "completed":
                    wanted = {1, 2}  # what waited for a failed one ran only after all were healed
                assert len(runs) in wanted, f"{unit}: {runs} runs, and is {how}\n{what}"
        for before, after in expected.order.edges:
            starts, end = began.get(after), ended.get(before)
            if starts and end and expected.states.get(before) == "completed" and before not in self._healed(graph):
                assert end < starts[0], f"{after} began before {before} had ended\n{what}"

    def _healed(self, graph: Graph) -> set[Unit]:
        """Return the jobs that were replayed, and what they added: what ran in spite of a failure began before them."""
        units = self._units[graph.key].values()
        failed = {unit for unit in units if self._fails(graph, unit) >= FOR_GOOD}
        return {unit for unit in units if unit in failed or (unit[0], -1) in failed}

    @staticmethod
    def _fails(graph: Graph, unit: Unit) -> int:
        plan, n = graph.plans[unit[0]], unit[1]
        if n == -1:
            return plan.fails
        if plan.width is not None:
            return plan.width[n]
        return plan.grows[n] if 0 <= n < len(plan.grows) else 0

    def _check_effects(self) -> None:
        """Check that what completed in its own transaction did so once, whatever was killed."""
        rows = self._conn.execute(
            "SELECT graph, step, count(*) FROM effects GROUP BY 1, 2 HAVING count(*) <> 1"
        ).fetchall()
        assert rows == []


def _difference(found: dict[Unit, str], wanted: dict[Unit, str]) -> str:
    units = sorted({*found, *wanted})
    return ", ".join(
        f"{u}: is {found.get(u)}, should be {wanted.get(u)}" for u in units if found.get(u) != wanted.get(u)
    )


def run_graphs(conn: psycopg.Connection, seed: int, first: int, count: int, *, exact: bool) -> None:
    """Run graphs of a seed, in a database that has a worker and the tables of the tasks."""
    graphs = [random_graph(key, random.Random(f"{seed}:{key}")) for key in range(first, first + count)]  # noqa: S311
    Batch(conn, graphs, exact=exact).run()


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
    parser.add_argument("--kills", action="store_true")
    asked = parser.parse_args()
    began = time.monotonic()
    with postgres.start(None, "embedded") as server:
        url = server.take()
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(tasks.TABLES)
            options = ("-q", "default:8", "--processes", "2", *QUICK, "--import", "tests.system.workflows.tasks")
            with work(url, *options, env={URL: url}) as running:
                for first in range(0, asked.graphs, BATCH):
                    count = min(BATCH, asked.graphs - first)
                    with killing(running) if asked.kills else nullcontext():
                        run_graphs(conn, asked.seed, first, count, exact=not asked.kills)
                    sys.stdout.write(f"{first + count:,} graphs in {time.monotonic() - began:.0f} s\n")
                    sys.stdout.flush()
        server.give_back(url)


if __name__ == "__main__":
    main()
