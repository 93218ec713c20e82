"""The end of a job that others wait for lets them run, in the statement that writes it; some are claimed by it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pgjobs import Workflow, enqueue
from pgjobs.admin import (
    cancel_workflow,
    list_workflows,
    pause_everything,
    pause_queue,
    pause_task,
    pause_workflow,
    set_limit,
    set_queue_limit,
)
from pgjobs.db.connection import connect_hot
from pgjobs.db.statements import statement
from pgjobs.flow.limits import LimitSettings
from pgjobs.jobs.outcome import COMPLETED, COMPLETED_STEP
from pgjobs.worker.local.claimed_job import COLUMNS
from pgjobs.worker.runtime import completing
from pgjobs.worker.runtime.completing import Awaited, complete_steps
from pgjobs.worker.runtime.job_claim import Claim
from tests.support.acknowledging import acknowledging
from tests.support.functions import add
from tests.support.processes import wait_until
from tests.support.rows import put_worker, row_of
from tests.support.worker import scalar

RELEASE = "complete_and_release"


@pytest.fixture
def worker(conn: psycopg.Connection) -> int:
    return put_worker(conn, {"default": 9})


def chain(conn: psycopg.Connection, worker: int, length: int = 3, task: Any = add) -> list[int]:
    """A chain whose first step runs; its jobs."""
    flow = Workflow("chain")
    steps = [flow.add(task, 0)]
    for n in range(1, length):
        steps.append(flow.add(task.options(after=[steps[-1]]), n))
    handle = enqueue(conn, flow)
    jobs = [handle.job(step).id for step in steps]
    run(conn, worker, jobs[0])
    return jobs


def run(conn: psycopg.Connection, worker: int, *jobs: int) -> None:
    conn.execute(
        "UPDATE pgjobs.jobs SET status = 'running', worker_id = %s, claims = 1 WHERE id = ANY (%s)", [worker, [*jobs]]
    )


def end(conn: psycopg.Connection, worker: int, *jobs: int, rooms: dict[str, int] | None = None) -> list[int]:
    """Complete these steps; return those that were claimed."""
    claimed: list[tuple[Any, ...]] = []
    with conn.cursor() as cursor:
        outcomes = {Claim(job, 1): COMPLETED_STEP for job in jobs}
        assert not complete_steps(cursor, worker, outcomes, Awaited(), rooms=rooms or {}, claimed=claimed)
    return [row[0] for row in claimed]


def states(conn: psycopg.Connection, *jobs: int) -> list[str]:
    return [str(row_of(conn, job)["status"]) for job in jobs]


def test_rows_of_claimed_steps_have_the_columns_of_a_claimed_job(conn: psycopg.Connection) -> None:
    values = {"ids": [], "claim_numbers": [], "worker_id": 1, "queues": [], "rooms": []}
    names = [column.name for column in conn.execute(statement(RELEASE), values).description or ()]
    assert names[: -completing._LISTS] == [*COLUMNS, "lane", "breaker", "queue"]


def test_the_next_step_runs_when_one_ends(conn: psycopg.Connection, worker: int) -> None:
    first, second, third = chain(conn, worker)
    assert end(conn, worker, first, rooms={"default": 1}) == [second]
    row = row_of(conn, second)
    assert (row["status"], row["worker_id"], row["claims"], row["attempt"]) == ("running", worker, 1, 1)
    assert row["started_at"] == row_of(conn, first)["finished_at"]
    (flow,) = list_workflows(conn)
    assert (flow.active, flow.completed) == (1, 1)
    assert end(conn, worker, second) == []
    assert states(conn, first, second, third) == ["completed", "completed", "queued"]
    assert scalar(conn, "SELECT count(*) FROM pgjobs.dependencies") == 0


def test_no_more_are_claimed_than_there_is_room_for_and_those_of_more_weight_first(
    conn: psycopg.Connection, worker: int
) -> None:
    flow = Workflow("wide")
    first = flow.add(add, 0)
    many = [flow.add(add.options(after=[first], priority=priority), 1) for priority in (5, 7, 1, 5)]
    handle = enqueue(conn, flow)
    jobs = [handle.job(step).id for step in (first, *many)]
    run(conn, worker, jobs[0])
    assert sorted(end(conn, worker, jobs[0], rooms={"default": 2})) == [jobs[1], jobs[3]]
    assert states(conn, *jobs[1:]) == ["running", "queued", "running", "queued"]


WHERE_A_CLAIM_DECIDES: dict[str, Callable[[psycopg.Connection, int], object]] = {
    "its queue is paused": lambda conn, job: pause_queue(conn, "default"),
    "everything is paused": lambda conn, job: pause_everything(conn),
    "a task is paused": lambda conn, job: pause_task(conn, "a:b"),
    "its queue has a limit": lambda conn, job: set_queue_limit(conn, "default", LimitSettings(5)),
    "it is due later": lambda conn, job: conn.execute(
        "UPDATE pgjobs.jobs SET run_at = now() + interval '1 h' WHERE id = %s", [job]
    ),
    "it expires": lambda conn, job: conn.execute(
        "UPDATE pgjobs.jobs SET expires_at = now() + interval '1 h' WHERE id = %s", [job]
    ),
    "its queue is another one": lambda conn, job: conn.execute(
        "UPDATE pgjobs.jobs SET queue = 'other' WHERE id = %s", [job]
    ),
    "its worker is considered dead": lambda conn, job: conn.execute("DELETE FROM pgjobs.workers"),
}


@pytest.mark.parametrize("where", WHERE_A_CLAIM_DECIDES)
def test_a_step_is_queued_and_not_claimed_where(conn: psycopg.Connection, worker: int, where: str) -> None:
    first, second, _ = chain(conn, worker)
    WHERE_A_CLAIM_DECIDES[where](conn, second)
    assert end(conn, worker, first, rooms={"default": 5}) == []
    assert states(conn, first, second) == ["completed", "queued"]


def test_a_step_with_a_limit_waits_for_its_turn(conn: psycopg.Connection, worker: int) -> None:
    set_limit(conn, "api", LimitSettings(1))
    first, second = chain(conn, worker, 2, add.options(limit="api"))
    assert end(conn, worker, first, rooms={"default": 5}) == []
    row = row_of(conn, second)
    assert (row["status"], row["held"], row["needs"]) == ("waiting", None, 0)


def test_a_step_of_a_paused_workflow_is_held(conn: psycopg.Connection, worker: int) -> None:
    first, second, _ = chain(conn, worker)
    pause_workflow(conn, list_workflows(conn)[0].id)
    assert end(conn, worker, first, rooms={"default": 5}) == []
    row = row_of(conn, second)
    assert (row["status"], row["held"]) == ("waiting", "workflow")


def test_a_step_of_a_cancelled_workflow_does_not_run(conn: psycopg.Connection, worker: int) -> None:
    first, second, third = chain(conn, worker)
    flow = list_workflows(conn)[0].id
    conn.execute(statement("mark_cancelled"), {"workflow": flow, "reason": "enough"})
    assert end(conn, worker, first, rooms={"default": 5}) == []
    assert states(conn, second) == ["waiting"]
    cancel_workflow(conn, flow)
    assert states(conn, second, third) == ["cancelled", "cancelled"]


@pytest.mark.parametrize("together", [True, False])
def test_a_step_that_needs_two_runs_once_both_have_ended(conn: psycopg.Connection, worker: int, together: bool) -> None:
    flow = Workflow("two")
    needs = [flow.add(add, n) for n in range(2)]
    last = flow.add(add.options(after=needs), 2)
    handle = enqueue(conn, flow)
    one, two, job = (handle.job(step).id for step in (*needs, last))
    run(conn, worker, one, two)
    if together:
        assert end(conn, worker, one, two, rooms={"default": 2}) == [job]
        return
    assert end(conn, worker, one, rooms={"default": 1}) == []
    row = row_of(conn, job)
    assert (row["status"], row["held"], row["needs"]) == ("waiting", "needs", 1)
    assert end(conn, worker, two, rooms={"default": 1}) == [job]


def test_of_two_that_end_at_once_the_later_one_lets_the_step_run(
    conn: psycopg.Connection, database_url: str, worker: int
) -> None:
    """The statement of the second begins before the first is committed: it sees two needs, and waits for the row."""
    flow = Workflow("two")
    needs = [flow.add(add, n) for n in range(2)]
    last = flow.add(add.options(after=needs), 2)
    handle = enqueue(conn, flow)
    one, two, job = (handle.job(step).id for step in (*needs, last))
    run(conn, worker, one, two)
    claimed: list[int] = []
    with psycopg.connect(database_url) as first, psycopg.connect(database_url, autocommit=True) as second:
        first.execute("SELECT 1")  # else the connection commits at the end of each part
        end(first, worker, one, rooms={"default": 1})
        thread = threading.Thread(target=lambda: claimed.extend(end(second, worker, two, rooms={"default": 1})))
        thread.start()
        wait_until(lambda: scalar(conn, "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        first.commit()
        thread.join()
    assert claimed == [job]
    assert row_of(conn, job)["status"] == "running"


@pytest.mark.parametrize(("spare", "closing", "status"), [(True, False, "running"), (False, False, "queued")])
def test_a_worker_runs_the_next_step_at_once_while_nothing_else_waits(
    conn: psycopg.Connection, database_url: str, worker: int, spare: bool, closing: bool, status: str
) -> None:
    first, second, _ = chain(conn, worker)
    with acknowledging(database_url, worker) as acknowledger:
        queue = acknowledger.local_queue
        queue.claim_stats.spare, queue.closing = spare, closing
        acknowledger.put({first: COMPLETED_STEP})
        wait_until(lambda: states(conn, first) == ["completed"])
        wait_until(lambda: not queue.unacknowledged)
        assert [job.id for job in queue.inbox.jobs] == ([second] if spare else [])
        assert states(conn, second) == [status]


def test_a_queue_that_closes_is_given_no_more(conn: psycopg.Connection, database_url: str, worker: int) -> None:
    first, second, _ = chain(conn, worker)
    with acknowledging(database_url, worker) as acknowledger:
        queue = acknowledger.local_queue
        queue.claim_stats.spare = queue.closing = True
        acknowledger.put({first: COMPLETED_STEP})
        wait_until(lambda: states(conn, first) == ["completed"])
    assert states(conn, second) == ["queued"]
    assert not queue.inbox.jobs


def test_a_job_without_a_workflow_that_others_wait_for_releases_them_by_the_same_statement(
    conn: psycopg.Connection, database_url: str, worker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def noted(name: str) -> str:
        used.append(name)
        return statement(name)

    monkeypatch.setattr(completing, "statement", noted)
    job = enqueue(conn, add, 1).id
    waits = enqueue(conn, add.options(after=[job]), 2).id
    conn.execute("UPDATE pgjobs.jobs SET dependents = true WHERE id = %s", [job])
    run(conn, worker, job)
    with acknowledging(database_url, worker) as acknowledger:
        acknowledger.put({job: COMPLETED})
        wait_until(lambda: states(conn, job, waits) == ["completed", "queued"])
    assert used == ["complete", "not_completed", RELEASE]


def test_what_it_costs_does_not_grow_with_other_workflows(
    conn: psycopg.Connection, database_url: str, worker: int
) -> None:
    """A worker keeps the plans that were made when there were few, and no table was analyzed since."""
    first, second, _ = chain(conn, worker)
    flow = list_workflows(conn)[0].id
    asked: dict[str, dict[str, Any]] = {
        RELEASE: {"ids": [first], "claim_numbers": [1], "worker_id": worker, "queues": ["default"], "rooms": [1]},
        "count_steps": {"ids": [first, second], "changes": [-1, 1], "ends": ["completed", None]},
        "due_workflows": {"ids": [first], "workflows": [flow], "busy": [flow]},
    }
    with connect_hot(database_url, application_name="plans") as hot:

        def send(text: str) -> Any:
            result = hot.pgconn.exec_(text.encode())  # psycopg forgets what is prepared when it sees a ROLLBACK
            value = result.get_value(0, 0) if result.ntuples else None
            assert not result.error_message, result.error_message
            return None if value is None else json.loads(value)

        def pages(name: str) -> int:
            values = ", ".join(sql.Literal(value).as_string(hot) for value in asked[name].values())
            send("BEGIN")
            top = send(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {name} ({values})")[0]["Plan"]
            send("ROLLBACK")
            return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])

        for name, values in asked.items():
            text = statement(name) % {key: f"${number}" for number, key in enumerate(values, 1)}
            send(f"PREPARE {name} AS {text}")
        few = {name: pages(name) for name in asked}
        conn.execute(
            "INSERT INTO pgjobs.workflows (name, steps, active) SELECT 'other', 1, 1 FROM generate_series(1, 3000)"
        )
        conn.execute("INSERT INTO pgjobs.workflow_counts SELECT id, 1 FROM pgjobs.workflows WHERE name = 'other'")
        many = {name: pages(name) for name in asked}
    assert {name: (few[name], many[name]) for name in asked if many[name] > few[name] + 20} == {}
