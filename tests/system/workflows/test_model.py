"""A slice of the random workflows: `make workflows-model` runs more of them, and kills workers."""

from __future__ import annotations

import random

import psycopg
import pytest

from tests.support import postgres
from tests.support.tasks import URL
from tests.support.worker import work
from tests.system.workflows import tasks
from tests.system.workflows.graphs import MEANWHILE, THEN, Graph, Plan, random_graph
from tests.system.workflows.oracle import expect, put_back
from tests.system.workflows.run import run_graphs


def test_random_workflows_end_as_the_model_says(server: postgres.Server) -> None:
    url = server.take()
    options = ("-q", "default:8", "--processes", "1", "--import", "tests.system.workflows.tasks")
    with psycopg.connect(url, autocommit=True) as conn, work(url, *options, env={URL: url}):
        conn.execute(tasks.TABLES)
        run_graphs(conn, 1, 0, 25, exact=True)
    server.give_back(url)


@pytest.mark.parametrize(
    ("if_failed", "then", "status"),
    [("wait", "waiting", "stuck"), ("run", "completed", "failed"), ("cancel", "cancelled", "failed")],
)
def test_the_model_says_what_follows_a_failed_step(if_failed: str, then: str, status: str) -> None:
    graph = Graph(0, [Plan(0, [], fails=2), Plan(1, [0], if_failed)])
    expected = expect(graph)
    assert (expected.states[1, -1], expected.status) == (then, status)
    again = put_back(graph, expected.states, "failed")
    kept = {unit: how for unit, how in expected.states.items() if how != "waiting" and unit not in again.jobs}
    healed = expect(graph, kept=kept, known=expected.states, healed=True)
    assert (set(healed.states.values()), healed.status) == ({"completed"}, "completed")


def test_the_graphs_have_all_that_workflows_have() -> None:
    graphs = [random_graph(key, random.Random(f"1:{key}")) for key in range(60)]  # noqa: S311 (no secret)
    plans = [plan for graph in graphs for plan in graph.plans]
    for name in ("grows", "width", "over", "at_once", "completes", "waits", "is_cancelled", "part", "fails"):
        assert sum(bool(getattr(plan, name)) for plan in plans) >= 3, name
    assert {plan.if_failed for plan in plans} == {"wait", "run", "cancel", "skip"}
    assert ({graph.then for graph in graphs}, {graph.meanwhile for graph in graphs}) == ({*THEN}, {*MEANWHILE})
