"""Workflows as workers run them: order, results along the edges, what follows a failed step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pgjobs import Workflow, admin, enqueue, result
from tests.support import tasks_workflows as tasks
from tests.support.rows import row_of
from tests.support.worker import scalar, wait_for
from tests.workflows.conftest import notes, value_of

Ends = Callable[..., dict[str, Any]]


def test_steps_run_one_after_another_and_get_results(shared: psycopg.Connection, ends: Ends) -> None:
    flow = Workflow("chain")
    first = flow.add(tasks.step, "a")
    second = flow.add(tasks.step_on_loop, "b", first.result)
    third = flow.add(tasks.step_apart, "c", [first.result, {"b": second.result}])
    flow.add(tasks.step_in_json.options(after=[third]), "d")
    handle = enqueue(shared, flow)
    row = ends(handle)
    assert notes(shared) == ["a", "b", "c", "d"]
    assert value_of(shared, "b") == "('a',)"
    assert value_of(shared, "c") == "(['a', {'b': 'b'}],)"
    assert (row["steps"], row["completed"], row["active"]) == (4, 4, 0)
    assert scalar(shared, "SELECT count(*) FROM pgjobs.workflow_counts WHERE workflow_id = %s", [handle.id]) == 0


def test_a_function_without_job_can_be_a_step_whose_result_is_taken(shared: psycopg.Connection, ends: Ends) -> None:
    flow = Workflow("plain")
    flow.add(tasks.step, "b", flow.add(tasks.plain, "a").result)
    ends(enqueue(shared, flow))
    assert value_of(shared, "b") == "('a',)"


@pytest.mark.parametrize("at_once", [None, 2])
@pytest.mark.parametrize("is_static", [True, False])
def test_a_map_fans_out_and_its_results_come_in_order(
    shared: psycopg.Connection, ends: Ends, is_static: bool, at_once: int | None
) -> None:
    flow = Workflow("map")
    items = list(range(5)) if is_static else flow.add(tasks.numbers, 5).result
    squares = flow.map(tasks.slow_square, items, at_once=at_once)
    total = flow.add(tasks.add_up.options(result=True), squares.results)
    handle = enqueue(shared, flow)
    row = ends(handle)
    assert result(shared, handle.job(total), timeout=5) == 30
    assert value_of(shared, "add_up") == "[0, 1, 4, 9, 16]"
    assert row["completed"] == row["steps"] == (6 if is_static else 8)
    running = most = 0
    for name in notes(shared):
        running += {"begin": 1, "end": -1}.get(name, 0)
        most = max(most, running)
    assert most <= (at_once or 5)


@pytest.mark.parametrize("is_static", [True, False])
def test_an_empty_map_completes_at_once(shared: psycopg.Connection, ends: Ends, is_static: bool) -> None:
    flow = Workflow("empty")
    items: list[int] = [] if is_static else flow.add(tasks.numbers, 0).result
    squares = flow.map(tasks.square, items)
    flow.add(tasks.add_up, squares.results)
    ends(enqueue(shared, flow))
    assert value_of(shared, "add_up") == "[]"


def test_a_workflow_of_nothing_but_an_empty_map_completes_and_calls_back(
    shared: psycopg.Connection, ends: Ends
) -> None:
    flow = Workflow("nothing")
    flow.map(tasks.square, [])
    flow.on_completed(tasks.step, "done")
    flow.on_failure(tasks.step, "failed")
    handle = enqueue(shared, flow)
    ends(handle)
    wait_for(shared, "EXISTS (SELECT FROM notes)")
    assert notes(shared) == ["done"]
    left = "SELECT count(*) FROM pgjobs.workflow_callbacks WHERE workflow_id = %s"
    assert scalar(shared, left, [handle.id]) == 0


# -- A step fails ----------------------------------------------------------------------------------------------------


def broken_flow(if_failed: Any) -> Workflow:
    """A step that fails, one that waits for it, and one that waits for that."""
    flow = Workflow("broken")
    first = flow.add(tasks.step, "a")
    second = flow.add(tasks.ask.options(after=[first], if_failed=if_failed), "b")
    flow.add(tasks.step.options(after=[second]), "c")
    flow.on_completed(tasks.step, "completed")
    flow.on_failure(tasks.ask, "failed")
    return flow


@pytest.mark.parametrize(
    ("if_failed", "status", "ran"),
    [
        ("wait", "stuck", ["a", "failed"]),
        ("run", "failed", ["a", "b", "c", "failed"]),
        ("cancel", "stuck", ["a", "failed"]),
        ("skip", "failed", ["a", "c", "failed"]),
    ],
)
def test_what_follows_a_failed_step_is_as_it_says(
    shared: psycopg.Connection, ends: Ends, if_failed: str, status: str, ran: list[str]
) -> None:
    shared.execute("INSERT INTO broken VALUES ('a')")
    handle = enqueue(shared, broken_flow(if_failed))
    row = ends(handle, status)
    wait_for(shared, "EXISTS (SELECT FROM notes WHERE name = 'failed')")
    assert sorted(notes(shared)) == sorted(ran)
    assert row["failed"] == 1
    if if_failed == "run":
        assert value_of(shared, "b") == "[('step', 'failed', 'ValueError: a is broken')]"
    assert "('step', 'failed', 'ValueError: a is broken')" in value_of(shared, "failed")


@pytest.mark.parametrize("way", ["replay", "retry"])
def test_replaying_the_dead_letter_lets_a_stuck_workflow_go_on(
    shared: psycopg.Connection, ends: Ends, way: str
) -> None:
    shared.execute("INSERT INTO broken VALUES ('a')")
    handle = enqueue(shared, broken_flow("wait"))
    ends(handle, "stuck")
    shared.execute("DELETE FROM broken")
    step = "SELECT job_id FROM pgjobs.workflow_steps WHERE workflow_id = %s"
    letter = scalar(shared, f"SELECT id FROM pgjobs.dead_jobs WHERE id IN ({step})", [handle.id])
    (admin.replay_dead if way == "replay" else admin.retry_jobs)(shared, letter)
    row = ends(handle)
    wait_for(shared, "EXISTS (SELECT FROM notes WHERE name = 'completed')")
    assert notes(shared).count("failed") == notes(shared).count("completed") == 1
    assert (row["completed"], row["failed"]) == (3, 0)


def test_a_fan_in_waits_for_a_member_that_is_retried(shared: psycopg.Connection, ends: Ends) -> None:
    flow = Workflow("retried")
    one, two = flow.add(tasks.fails_once, "one"), flow.add(tasks.step, "two")
    flow.add(tasks.step.options(after=[one, two]), "last")
    ends(enqueue(shared, flow))
    assert notes(shared)[-1] == "last"
    assert notes(shared).count("one") == 2


def test_a_member_that_was_cancelled_ends_what_waits_for_it(shared: psycopg.Connection, ends: Ends) -> None:
    flow = Workflow("cancelled")
    first = flow.add(tasks.step.options(delay=60), "a")
    flow.add(tasks.step.options(after=[first], if_failed="cancel"), "b")
    handle = enqueue(shared, flow)
    admin.cancel_jobs(shared, handle.job(first))
    row = ends(handle, "failed")
    assert (row["cancelled"], row["completed"]) == (2, 0)


def test_a_failing_member_ends_all_that_waits_in_nested_groups_and_chains(
    shared: psycopg.Connection, ends: Ends
) -> None:
    """Celery's canvas hangs there: a chord in a group in a chain never gets to know of a member that has failed."""
    shared.execute("INSERT INTO broken VALUES ('bad')")
    inner = Workflow("inner")
    members = [inner.add(tasks.step, name) for name in ("good", "bad")]
    inner.add(tasks.step.options(after=members, if_failed="cancel"), "inner chord")
    middle = Workflow("middle")
    nested = middle.add(inner.options(after=[middle.add(tasks.step, "begin")]))
    middle.add(tasks.step.options(after=[nested], if_failed="cancel"), "middle chord")
    flow = Workflow("outer")
    last = flow.add(tasks.step.options(after=[flow.add(middle)], if_failed="cancel"), "chain")
    flow.add(tasks.step.options(after=[last], if_failed="cancel"), "end of the chain")
    flow.on_completed(tasks.step, "completed")
    flow.on_failure(tasks.step, "failed")
    row = ends(enqueue(shared, flow), "failed")
    wait_for(shared, "EXISTS (SELECT FROM notes WHERE name = 'failed')")
    assert (row["completed"], row["failed"], row["cancelled"], row["active"]) == (2, 1, 4, 0)
    assert sorted(notes(shared)) == ["bad", "begin", "failed", "good"]


# -- It grows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "fails"), [(tasks.grow, 0), (tasks.grow, 1), (tasks.grow_apart, 0), (tasks.grow_on_loop, 0)]
)
def test_a_step_that_is_retried_adds_once_and_what_waits_for_it_waits_for_that(
    shared: psycopg.Connection, ends: Ends, task: Any, fails: int
) -> None:
    flow = Workflow("grows")
    grown = flow.add(task, 3, *([fails] if fails else []))
    flow.add(tasks.step, "last", grown.result)
    handle = enqueue(shared, flow)
    row = ends(handle)
    assert row["steps"] == row["completed"] == 7
    ran = notes(shared)
    assert ran[-1] == "last"
    assert sorted(set(ran)) == ["after grown", "grow", "grown", "last", "square 0", "square 1", "square 2"]
    assert ran.count("grown") == 1
    assert value_of(shared, "after grown") == "('grown',)"


# -- Nested ----------------------------------------------------------------------------------------------------------


def test_steps_that_wait_for_a_nested_workflow_wait_for_all_of_it(shared: psycopg.Connection, ends: Ends) -> None:
    part = Workflow("part")
    part.map(tasks.square, [1, 2], at_once=1)
    part.add(tasks.grow, 1)
    part.on_completed(tasks.step, "part done")
    flow = Workflow("whole")
    first = flow.add(tasks.step, "first")
    nested = flow.add(part.options(after=[first]))
    flow.add(tasks.step.options(after=[nested]), "last")
    ends(enqueue(shared, flow))
    ran = notes(shared)
    assert ran[0] == "first"
    assert ran.index("last") > max(ran.index(name) for name in ("square 2", "grown", "after grown", "square 0"))


def test_steps_in_a_queue_that_keeps_nothing_are_still_right(shared: psycopg.Connection, ends: Ends) -> None:
    shared.execute("UPDATE pgjobs.queues SET keep_completed = false WHERE name = 'default'")
    try:
        wait_for(shared, "true")
        flow = Workflow("forgotten")
        squares = flow.map(tasks.square, [1, 2, 3])
        flow.add(tasks.add_up, squares.results)
        handle = enqueue(shared, flow)
        ends(handle)
        assert value_of(shared, "add_up") == "[1, 4, 9]"
    finally:
        shared.execute("UPDATE pgjobs.queues SET keep_completed = true")
    assert row_of(shared, scalar(shared, "SELECT max(job_id) FROM pgjobs.workflow_steps"))["status"] == "completed"


# -- Steps that end in transactions of their own -----------------------------------------------------------------------


@pytest.mark.parametrize("task", [tasks.in_transaction, tasks.in_transaction_on_loop, tasks.complete_itself])
def test_a_step_that_ends_in_its_own_transaction_lets_others_go_on(
    shared: psycopg.Connection, ends: Ends, task: Any
) -> None:
    flow = Workflow("own")
    first = flow.add(tasks.step, "a")
    second = flow.add(task, first.result)
    flow.add(tasks.step, "c", second.result)
    handle = enqueue(shared, flow)
    assert ends(handle)["completed"] == 3
    assert value_of(shared, "c") == "('a, and mine',)"
    flow = Workflow("last")
    flow.add(task, "b")
    ends(enqueue(shared, flow))  # nothing waits for it but its workflow
    assert scalar(shared, "SELECT count(*) FROM pgjobs.dependencies WHERE job_id = 0") == 0


@pytest.mark.parametrize("task", [tasks.complete_and_grow, tasks.grow_and_complete])
def test_such_a_step_adds_no_others(shared: psycopg.Connection, ends: Ends, task: Any) -> None:
    flow = Workflow("own")
    flow.add(task)
    handle = enqueue(shared, flow)
    ends(handle, "failed")
    assert "in a step after it" in str(admin.list_dead(shared)[0].error)
