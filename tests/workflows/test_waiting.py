"""`wait_for`, `signal` and `sleep`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pgjobs import UsageError, Workflow, enqueue, signal, sleep, wait_for, why
from tests.support import tasks_workflows as tasks
from tests.support.rows import put_job, row_of
from tests.support.worker import scalar
from tests.support.worker import wait_for as wait_until_true
from tests.workflows.conftest import notes, value_of

Ends = Callable[..., dict[str, Any]]


def ends_as(conn: psycopg.Connection, job: int, status: str = "completed") -> dict[str, Any]:
    wait_until_true(conn, f"(SELECT status = '{status}' FROM pgjobs.jobs WHERE id = {job})")
    return row_of(conn, job)


def suspended(conn: psycopg.Connection, job: int) -> None:
    wait_until_true(conn, f"(SELECT status = 'queued' AND claims > 0 FROM pgjobs.jobs WHERE id = {job})")


@pytest.mark.parametrize("task", [tasks.wait, tasks.wait_on_loop, tasks.wait_apart])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_signal_reaches_a_job_whether_it_waits_already_or_not(
    shared: psycopg.Connection, task: Any, when: str
) -> None:
    job = enqueue(shared, task.options(delay=0.3 if when == "before" else 0), "approved")
    if when == "after":
        suspended(shared, job.id)
        assert row_of(shared, job.id)["attempt"] == 0
    assert signal(shared, job, "approved", {"by": "ada"})
    assert not signal(shared, job.id, "approved", {"by": "bob"})
    row = ends_as(shared, job.id)
    assert value_of(shared, "got") == "{'by': 'ada'}"
    assert row["attempt"] == 1
    assert scalar(shared, "SELECT count(*) FROM pgjobs.waits WHERE job_id = %s", [job.id]) == 0


def test_a_signal_to_a_workflow_reaches_all_its_steps(shared: psycopg.Connection, ends: Ends) -> None:
    flow = Workflow("approval")
    first, second = flow.add(tasks.wait, "go"), flow.add(tasks.wait, "go")
    flow.add(tasks.step.options(after=[first, second]), "last")
    handle = enqueue(shared, flow)
    suspended(shared, handle.job(first).id)
    suspended(shared, handle.job(second).id)
    assert scalar(shared, "SELECT status FROM pgjobs.workflows WHERE id = %s", [handle.id]) == "running"
    shared.execute("SELECT pgjobs.signal('workflow', %s, 'go', %s)", [handle.id, json.dumps(7)])
    ends(handle)
    assert notes(shared) == ["got", "got", "last"]


def test_a_wait_that_is_over_raises_and_a_second_attempt_does_not_wait_again(shared: psycopg.Connection) -> None:
    job = enqueue(shared, tasks.wait_a_moment)
    row = ends_as(shared, job.id, "failed")
    assert row["error"] == f"TimeoutError: nothing was said to job {job.id} as 'never' in time."
    assert row["attempt"] == 2


def test_a_sleep_ends_and_the_next_one_begins(shared: psycopg.Connection) -> None:
    job = enqueue(shared, tasks.sleeps)
    row = ends_as(shared, job.id)
    assert notes(shared) == ["begins", "begins", "begins", "ends"]
    assert row["attempt"] == 1


def test_why_says_what_is_waited_for(shared: psycopg.Connection) -> None:
    job = enqueue(shared, tasks.wait, "approved")
    suspended(shared, job.id)
    assert why(shared, job.id).sentence == f"Job {job.id} waits for the signal 'approved'."
    signal(shared, job, "approved")
    ends_as(shared, job.id)


def test_a_rolled_back_signal_was_never_sent(conn: psycopg.Connection, database_url: str) -> None:
    job = put_job(conn)
    with psycopg.connect(database_url) as mine:
        signal(mine, job, "approved")
        mine.rollback()
    assert signal(conn, job, "approved")


@pytest.mark.parametrize("payload", [{1, 2}, float("nan"), "x" * 70_000, "\0"])
def test_what_json_does_not_have_is_refused(conn: psycopg.Connection, payload: object) -> None:
    with pytest.raises(UsageError, match="the payload of a signal"):
        signal(conn, 1, "approved", payload)


def test_outside_of_a_job_there_is_nothing_to_wait_with() -> None:
    with pytest.raises(LookupError, match="outside a job"):
        wait_for("approved")
    with pytest.raises(LookupError, match="outside a job"):
        sleep(1)
