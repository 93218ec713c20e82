"""What can be built, and what is refused before anything is written."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import psycopg
import pytest

from pgjobs import EnqueueError, UsageError, Workflow, enqueue, enqueue_many
from pgjobs.workflows.plan import make_plan
from tests.support import tasks_workflows as tasks
from tests.support.callers import KINDS, settled
from tests.support.rows import count, row_of
from tests.support.worker import scalar


def small() -> Workflow:
    flow = Workflow("small")
    squares = flow.map(tasks.square, [1, 2])
    flow.add(tasks.add_up, squares.results)
    return flow


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_it_is_enqueued_on_every_kind_of_connection(conn: psycopg.Connection, database_url: str, kind: str) -> None:
    async def run() -> Any:
        async with KINDS[kind](database_url) as caller:
            made = await settled(enqueue(caller.conn, small()))
            await caller.commit()
            return made

    handle = asyncio.run(run())
    assert handle.id == scalar(conn, "SELECT id FROM pgjobs.workflows")
    assert conn.execute("SELECT status, count(*) FROM pgjobs.jobs GROUP BY 1 ORDER BY 1").fetchall() == [
        ("queued", 2),
        ("waiting", 1),
    ]
    assert count(conn, "dependencies") == 2


def test_a_rollback_leaves_nothing(conn: psycopg.Connection, database_url: str) -> None:
    with psycopg.connect(database_url) as mine:
        enqueue(mine, small())
        mine.rollback()
    assert [count(conn, table) for table in ("workflows", "workflow_steps", "jobs", "dependencies")] == [0] * 4


def test_a_key_is_one_unfinished_workflow_s_at_a_time(conn: psycopg.Connection) -> None:
    first, second = enqueue(conn, keyed("a")), enqueue(conn, keyed("a"))
    assert (first.conflict, second.conflict, second.id) == (False, True, first.id)
    assert not enqueue(conn, keyed("b")).conflict
    assert count(conn, "jobs") == 2
    conn.execute("UPDATE pgjobs.workflows SET ended_at = now(), status = 'completed'")
    assert not enqueue(conn, keyed("a")).conflict


def keyed(key: str) -> Workflow:
    flow = Workflow("keyed", key=key)
    flow.add(tasks.step, "a")
    return flow


def test_options_are_those_of_each_step(conn: psycopg.Connection) -> None:
    flow = Workflow("options")
    first = flow.add(tasks.step.options(priority=1, queue="vip", meta={"user": 7}, limit="l:{name}"), "a")
    flow.add(tasks.step.options(after=[first]), "b")
    handle = enqueue(conn, flow)
    row = row_of(conn, handle.job(first).id)
    assert (row["priority"], row["queue"], row["meta"], row["limit_key"]) == (1, "vip", {"user": 7}, "l:a")
    assert (row["status"], row["dependents"], row["summary"]) == ("waiting", True, "step('a')")


def test_a_summary_says_whose_result_an_argument_is(conn: psycopg.Connection) -> None:
    flow = small()
    enqueue(conn, flow)
    assert scalar(conn, "SELECT summary FROM pgjobs.jobs WHERE status = 'waiting'") == "add_up(square.results)"


# -- Refusals --------------------------------------------------------------------------------------------------------


def foreign() -> None:
    other = Workflow("other").add(tasks.step, "a")
    Workflow("mine").add(tasks.step, "b", other.result)


def foreign_after() -> None:
    other = Workflow("other").add(tasks.step, "a")
    Workflow("mine").add(tasks.step.options(after=[other]), "b")


def itself() -> None:
    flow = small()
    flow.add(flow)


def each_other() -> None:
    one, two = small(), small()
    one.add(two)
    two.add(one)


def changed_afterwards() -> None:
    part = small()
    small().add(part)
    part.add(tasks.step, "late")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (foreign, "step is a step of the workflow 'other', and this is 'mine'"),
        (foreign_after, "step is a step of the workflow 'other'"),
        (itself, "cannot be added to 'small'"),
        (each_other, "was added to 'small'"),
        (changed_afterwards, "was added to 'small': add what is left to it before"),
        (lambda: Workflow(""), "give it a name"),
        (lambda: Workflow("x").map(tasks.square, 5), "give a list of items"),  # type: ignore[call-overload]  # the mistake
        (lambda: Workflow("x").map(tasks.square, [1], at_once=0), "a whole number from 1"),
        (lambda: Workflow("x").add(tasks.step.options(unique="u"), "a"), "has unique="),
        (lambda: Workflow("x").add(tasks.step.options(after=[7]), "a"), "after= has the job 7"),
        (
            lambda: Workflow("x").on_failure(tasks.step, Workflow("x").add(tasks.step, "a").result),
            "are not given to it",
        ),
        (lambda: pickle.dumps(Workflow("x").add(tasks.step, "a").result), "stands for what a step returns"),
        (lambda: list(Workflow("x").add(tasks.numbers, 1).result), "known only when the workflow runs"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_built(build: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build()


def test_what_cannot_be_enqueued_names_the_step_and_writes_nothing(conn: psycopg.Connection) -> None:
    flow = small()
    flow.add(tasks.add_up)  # type: ignore[call-overload]  # the mistake
    with pytest.raises(EnqueueError, match=r"^the step add_up-2 of 'small' is refused: .*cannot be called"):
        enqueue(conn, flow)
    with pytest.raises(EnqueueError, match="has no steps"):
        enqueue(conn, Workflow("empty"))
    part = small()
    small().add(part)
    with pytest.raises(EnqueueError, match="is a part of 'small'"):
        enqueue(conn, part)
    with pytest.raises(EnqueueError, match="takes no arguments"):
        enqueue(conn, small(), 1)  # type: ignore[call-overload]  # the mistake
    assert count(conn, "workflows") == 0


def test_a_step_is_nothing_that_a_job_outside_can_wait_for(conn: psycopg.Connection) -> None:
    step = small().map(tasks.square, [1])
    with pytest.raises(UsageError, match="only other steps of that workflow"):
        enqueue(conn, tasks.step.options(after=[step]), "a")
    with pytest.raises(UsageError, match="only other steps of that workflow"):
        enqueue_many(conn, tasks.step.options(after=[step]), [("a",)])


# -- What is decided without SQL --------------------------------------------------------------------------------------


class Planned:
    def __init__(self, *needs: int, items: int | None = None, at_once: int | None = None) -> None:
        self.name, self.needs, self.if_failed, self.at_once = "n", list(needs), "cancel", at_once
        self.items = None if items is None else [None] * items


def test_a_plan_numbers_jobs_and_says_what_each_waits_for() -> None:
    plan = make_plan([Planned(), Planned(0, items=3, at_once=2), Planned(1)])
    assert plan.first == [0, 1, 4, 5]
    assert plan.edges == [
        [],
        [(0, "cancel")],
        [(0, "cancel")],
        [(0, "cancel"), (1, "run")],
        [(n, "cancel") for n in (1, 2, 3)],
    ]
    assert (plan.jobs, plan.roots) == (5, 1)


@pytest.mark.parametrize("nodes", [[Planned(0)], [Planned(1), Planned(0)], [Planned(7)]])
def test_a_plan_refuses_cycles(nodes: list[Planned]) -> None:
    with pytest.raises(UsageError, match="a workflow has no cycles"):
        make_plan(nodes)


def test_a_plan_refuses_more_edges_than_can_be_meant() -> None:
    with pytest.raises(UsageError, match="Put a step between"):
        make_plan([Planned(items=2_000), Planned(0, items=2_000)])
