"""Operations on workflows: list, show, cancel, retry, pause and resume; and the command line for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pgjobs import NotFoundError, UsageError, Workflow, admin, enqueue, why
from tests.cli.conftest import Cli, cli, command, environment  # noqa: F401 (fixtures)
from tests.support import tasks_workflows as tasks
from tests.support.processes import wait_until
from tests.support.worker import scalar, wait_for
from tests.workflows.conftest import notes

Ends = Callable[..., dict[str, Any]]
FOLLOWED = 1.5  # seconds until the worker knows of a pause
STEP = "tests.support.tasks_workflows:step"


def chain(*names: str, key: str | None = None, **options: Any) -> Workflow:
    """A workflow of steps that wait for each other; the first has these options."""
    flow = Workflow("chain", key=key)
    last = None
    for name in names:
        task = tasks.step.options(**options) if last is None else tasks.step.options(after=[last])
        last = flow.add(task, name)
    return flow


def test_what_failed_is_retried_and_the_rest_follows(shared: psycopg.Connection, ends: Ends) -> None:
    shared.execute("INSERT INTO broken VALUES ('a')")
    handle = enqueue(shared, chain("a", "b"))
    ends(handle, "stuck")
    shared.execute("DELETE FROM broken")
    assert admin.retry_workflow(shared, handle).status == "running"
    assert ends(handle)["completed"] == 2
    assert notes(shared) == ["a", "a", "b"]


def test_steps_that_were_cancelled_with_it_wait_again_when_it_is_retried(
    shared: psycopg.Connection, ends: Ends
) -> None:
    shared.execute("INSERT INTO broken VALUES ('a')")
    flow = Workflow("cancelled")
    first = flow.add(tasks.step, "a")
    second = flow.add(tasks.step.options(after=[first], if_failed="cancel"), "b")
    flow.add(tasks.step.options(after=[second], if_failed="cancel"), "c")
    handle = enqueue(shared, flow)
    assert ends(handle, "failed")["cancelled"] == 2
    shared.execute("DELETE FROM broken")
    admin.retry_workflow(shared, handle)
    ends(handle)
    assert notes(shared) == ["a", "a", "b", "c"]


@pytest.mark.parametrize(("what", "ran"), [("after", ["a", "b", "c", "a", "b"]), ("all", ["a", "b", "c"] * 2)])
def test_what_came_after_or_all_is_retried(shared: psycopg.Connection, ends: Ends, what: Any, ran: list[str]) -> None:
    shared.execute("INSERT INTO broken VALUES ('a')")
    flow = Workflow("after")
    first = flow.add(tasks.step, "a")
    second = flow.add(tasks.step.options(after=[first], if_failed="run"), "b")
    third = flow.add(tasks.step.options(after=[second] if what == "all" else []), "c")
    assert third.name == "step-3"
    handle = enqueue(shared, flow)
    ends(handle, "failed")
    shared.execute("DELETE FROM broken")
    admin.retry_workflow(shared, handle, what=what)
    ends(handle)
    assert sorted(notes(shared)) == sorted(ran)


def test_what_a_step_had_added_is_added_again_when_all_is_retried(shared: psycopg.Connection, ends: Ends) -> None:
    flow = Workflow("grows")
    flow.add(tasks.step, "last", flow.add(tasks.grow, 2).result)
    handle = enqueue(shared, flow)
    assert ends(handle)["steps"] == 6
    admin.retry_workflow(shared, handle, what="all")
    assert ends(handle)["steps"] == 6
    assert notes(shared).count("square 0") == 2


@pytest.mark.parametrize("if_failed", ["cancel", "run"])
def test_what_waits_for_added_steps_still_waits_when_all_is_retried_before_they_ran(
    shared: psycopg.Connection, ends: Ends, if_failed: Any
) -> None:
    admin.pause_task(shared, STEP)
    time.sleep(FOLLOWED)  # from now on, what is added does not start
    try:
        flow = Workflow("grows")
        last = flow.add(tasks.step.options(after=[flow.add(tasks.grow, 0)], if_failed=if_failed), "last")
        handle = enqueue(shared, flow)
        wait_until(lambda: admin.show_workflow(shared, handle).completed == 1)
        shared.execute("UPDATE pgjobs.queues SET paused = true WHERE name = 'default'")
        admin.retry_workflow(shared, handle, what="all")
        held = scalar(shared, "SELECT held FROM pgjobs.jobs WHERE id = %s", [handle.job(last).id])
    finally:
        shared.execute("UPDATE pgjobs.queues SET paused = false")
        admin.resume_task(shared, STEP)
    assert held == "needs"
    ends(handle)
    assert notes(shared) == ["grow", "grow", "grown", "after grown", "last"]


@pytest.mark.parametrize("what", ["failed", "after"])
def test_what_waited_for_an_added_step_waits_for_it_again(shared: psycopg.Connection, ends: Ends, what: Any) -> None:
    shared.execute("INSERT INTO broken VALUES ('after grown')")
    flow = Workflow("grows")
    flow.add(
        tasks.step.options(after=[flow.add(tasks.grow, 0)], if_failed="cancel" if what == "failed" else "run"), "last"
    )
    handle = enqueue(shared, flow)
    ends(handle, "failed")
    shared.execute("DELETE FROM broken")
    shared.execute("UPDATE pgjobs.queues SET paused = true WHERE name = 'default'")
    admin.retry_workflow(shared, handle, what=what)
    last = scalar(
        shared,
        "SELECT job_id FROM pgjobs.workflow_steps WHERE workflow_id = %s AND needs <> '{}' AND parent IS NULL",
        [handle.id],
    )
    assert scalar(shared, "SELECT held FROM pgjobs.jobs WHERE id = %s", [last]) == "needs"
    shared.execute("UPDATE pgjobs.queues SET paused = false")
    ends(handle)
    assert notes(shared)[-2:] == ["after grown", "last"]


@pytest.mark.parametrize("what", ["failed", "after", "all"])
def test_steps_that_history_has_dropped_stay_as_they_are_and_nothing_waits_for_them(
    shared: psycopg.Connection, ends: Ends, what: Any
) -> None:
    shared.execute("INSERT INTO broken VALUES ('b')")
    flow = Workflow("old")
    first, second = flow.add(tasks.step, "a"), flow.add(tasks.step, "b")
    late = flow.add(tasks.step.options(after=[second], if_failed="run"), "late")
    flow.add(tasks.step.options(after=[first, second, late]), "last")
    handle = enqueue(shared, flow)
    ends(handle, "stuck")
    shared.execute("DELETE FROM broken")
    shared.execute("DELETE FROM pgjobs.jobs_history")
    admin.retry_workflow(shared, handle, what=what)
    assert ends(handle)["completed"] == 4
    ran = notes(shared)
    assert (sorted(ran[:2]), ran[2:]) == (["a", "b"], ["late", "b", "last"])


def test_a_dead_letter_without_history_waits_for_what_runs_again_with_it(
    shared: psycopg.Connection, ends: Ends
) -> None:
    shared.execute("INSERT INTO broken VALUES ('b')")
    handle = enqueue(shared, chain("a", "b"))
    ends(handle, "failed")
    shared.execute("DELETE FROM broken")
    shared.execute("DELETE FROM pgjobs.jobs_history WHERE status = 'failed'")
    shared.execute("UPDATE pgjobs.queues SET paused = true WHERE name = 'default'")
    admin.retry_workflow(shared, handle, what="all")
    steps = "SELECT job_id FROM pgjobs.workflow_steps WHERE workflow_id = %s"
    held = f"SELECT string_agg(held, ' ') FROM pgjobs.jobs_waiting WHERE id IN ({steps})"
    assert scalar(shared, held, [handle.id]) == "needs"
    shared.execute("UPDATE pgjobs.queues SET paused = false")
    ends(handle)
    assert notes(shared) == ["a", "b"] * 2


def test_a_paused_workflow_starts_nothing_until_it_is_resumed(shared: psycopg.Connection, ends: Ends) -> None:
    handle = enqueue(shared, chain("a", "b", delay=0.4))
    row = admin.pause_workflow(shared, handle)
    assert (row.status, row.paused_at is None) == ("running", False)
    job = scalar(shared, "SELECT min(job_id) FROM pgjobs.workflow_steps WHERE workflow_id = %s", [handle.id])
    wait_for(shared, "pg_sleep(0.6) IS NOT NULL")
    assert notes(shared) == []
    assert why(shared, job).reason == "workflow_paused"
    admin.resume_workflow(shared, handle)
    ends(handle)
    assert notes(shared) == ["a", "b"]


def test_a_step_that_becomes_free_in_a_paused_workflow_waits(shared: psycopg.Connection, ends: Ends) -> None:
    handle = enqueue(shared, slow())
    wait_for(shared, "EXISTS (SELECT FROM notes)")
    admin.pause_workflow(shared, handle)
    wait_for(shared, "(SELECT count(*) = 2 FROM notes)")
    wait_for(shared, "EXISTS (SELECT FROM pgjobs.jobs_waiting WHERE held = 'workflow')")
    admin.resume_workflow(shared, handle)
    ends(handle)


def slow() -> Workflow:
    flow = Workflow("slow")
    flow.add(tasks.step.options(after=[flow.add(tasks.slow_square, 1)]), "last")
    return flow


def test_a_cancelled_workflow_ends_with_all_its_steps_and_calls_nothing(shared: psycopg.Connection, ends: Ends) -> None:
    flow = chain("a", "b", "c", delay=60)
    flow.on_failure(tasks.step, "failed")
    flow.on_completed(tasks.step, "completed")
    handle = enqueue(shared, flow)
    row = admin.cancel_workflow(shared, handle, reason="not needed")
    assert (row.status, row.cancelled, row.active) == ("cancelled", 3, 0)
    assert scalar(shared, "SELECT count(*) FROM pgjobs.jobs WHERE error = 'not needed'") >= 1
    left = "SELECT count(*) FROM pgjobs.workflow_callbacks WHERE workflow_id = %s"
    assert scalar(shared, left, [handle.id]) == 0
    with pytest.raises(NotFoundError, match="that has not ended"):
        admin.cancel_workflow(shared, handle)
    shared.execute("UPDATE pgjobs.jobs_history SET run_at = now() WHERE error = 'not needed'")
    admin.retry_workflow(shared, handle)
    ends(handle)
    assert notes(shared) == ["a", "b", "c"]


def test_a_listing_has_counts_while_it_runs(conn: psycopg.Connection) -> None:
    first, second = enqueue(conn, chain("a", "b", key="k")), enqueue(conn, chain("c"))
    assert [each.id for each in admin.list_workflows(conn)] == [second.id, first.id]
    assert [each.id for each in admin.list_workflows(conn, limit=1, before=second.id)] == [first.id]
    assert admin.list_workflows(conn, status="stuck") == []
    assert [each.id for each in admin.list_workflows(conn, name="ch*", status="running")] == [second.id, first.id]
    row = admin.list_workflows(conn)[1]
    assert (row.steps, row.active, row.completed, row.key) == (2, 1, 0, "k")
    with pytest.raises(UsageError, match="give one of running"):
        admin.list_workflows(conn, status="broken")
    with pytest.raises(NotFoundError, match="no workflow 4711"):
        admin.show_workflow(conn, 4711)


def test_the_graph_is_drawn_with_what_failed_and_the_slowest_way(
    shared: psycopg.Connection,
    ends: Ends,
    shared_url: str,
    monkeypatch: pytest.MonkeyPatch,
    cli: Cli,  # noqa: F811
) -> None:
    shared.execute("INSERT INTO broken VALUES ('square 1')")
    flow = Workflow("drawn")
    squares = flow.map(tasks.square, flow.add(tasks.numbers, 3).result)
    total = flow.add(tasks.add_up, squares.results)
    handle = enqueue(shared, flow)
    ends(handle, "stuck")
    monkeypatch.setenv("PGJOBS_DATABASE_URL", shared_url)
    shown = cli("--database-url", shared_url, "workflows", "show", handle.id).out.splitlines()
    letter = scalar(shared, "SELECT max(id) FROM pgjobs.dead_jobs")
    assert any(line.startswith("status") and "stuck" in line for line in shown)
    assert any("✓ numbers: completed" in line for line in shown)
    assert any(f"✗ square[4] ← numbers: 3 of 4 completed, 1 failed, dead letter {letter}" in line for line in shown)
    assert any("    · add_up ← square: waiting" in line for line in shown)
    found = json.loads(cli("--database-url", shared_url, "workflows", "show", "--json", handle.id).out)
    assert [node["name"] for node in found["nodes"]] == ["numbers", "square", "add_up"]
    reason = why(shared, handle.job(total).id)
    assert reason.reason == "step_needs"
    assert f"waits for step square[1] (dead letter {letter})" in reason.sentence
    assert "1 of " in reason.sentence
    assert "stuck_workflows" in {finding.name for finding in admin.doctor(shared).findings}
    assert cli("--database-url", shared_url, "workflows", "retry", handle.id).code == 0


def test_the_command_line_does_the_rest(conn: psycopg.Connection, cli: Cli) -> None:  # noqa: F811
    handle = enqueue(conn, chain("a", "b"))
    assert cli("workflows", "list").out.splitlines()[1].split()[:6] == [str(handle.id), "running", "2", "0", "1", "0"]
    assert "is running, paused" in cli("workflows", "pause", handle.id).out
    assert "is running:" in cli("workflows", "resume", handle.id).out
    assert cli("workflows", "signal", handle.id, "go", '{"by": "ada"}').out == f"Said to workflow {handle.id}.\n"
    assert "was said before" in cli("workflows", "signal", handle.id, "go").out
    assert cli("workflows", "signal", handle.id, "go", "{").code == 2
    assert "is cancelled: 0 of 2" in cli("workflows", "cancel", handle.id).out
    assert cli("workflows", "list", "--status", "stuck").err == "No such workflows.\n"
    assert cli("workflows", "retry", 4711).code == 1


def test_old_workflows_go_with_all_that_is_theirs(conn: psycopg.Connection) -> None:
    from pgjobs.db.statements import statement

    old, new = enqueue(conn, chain("a")), enqueue(conn, chain("b"))
    admin.signal_workflow(conn, old, "go")
    conn.execute("UPDATE pgjobs.workflows SET ended_at = now() - interval '8 days' WHERE id = %s", [old.id])
    conn.execute(statement("purge_workflows"), {"days": 7, "batch": 10})
    tables = [("workflows", "id"), ("workflow_steps", "workflow_id")]
    for table, column in tables:
        rows = conn.execute(f"SELECT DISTINCT {column} FROM pgjobs.{table}").fetchall()
        assert rows == [(new.id,)]
    assert scalar(conn, "SELECT count(*) FROM pgjobs.signals") == 0
