"""Under every executor a job begins with a clean context, on a loop that is kept, and what it returns is awaited."""

from __future__ import annotations

import decimal
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import enqueue
from tests.support import tasks_contexts as tasks
from tests.support.rows import row_of
from tests.support.worker import states, wait_done, wait_for, work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import Server

EXECUTORS = ("thread", "async", "process")
ROUNDS = 3  # with two slots, so each of them gets several


class Ran:
    """What one drain made of these jobs."""

    def __init__(self, conn: psycopg.Connection, traces: Path) -> None:
        self.conn, self.traces = conn, traces
        self.jobs: dict[tuple[str, str, int], int] = {}

    def add(self, executor: str, name: str, job: Any, *args: object) -> None:
        """Enqueue some of these."""
        for number in range(ROUNDS):
            self.jobs[executor, name, number] = enqueue(self.conn, job.options(executor=executor), *args).id

    def ended(self, executor: str, name: str) -> set[tuple[str, str | None]]:
        """Return how they have ended."""
        rows = [row_of(self.conn, self.jobs[executor, name, number]) for number in range(ROUNDS)]
        return {(row["status"], row["error"]) for row in rows}


FUNCTION = "returns a function of its module"
COMPLETE = (
    *("begins", "begins with a number", "begins with what sets a variable", "begins with what looks around"),
    "a coroutine begins",
)
LOOPS = ("sees its decorators", "finds its loop again", "returns a generator that has begun", FUNCTION)


@pytest.fixture(scope="module")
def ran(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    url, traces = server.create(), tmp_path_factory.mktemp("traces")
    with psycopg.connect(url, autocommit=True) as conn:
        found = Ran(conn, traces)
        for executor in EXECUTORS:
            begins = tasks.begins_async if executor == "async" else tasks.begins
            found.add(executor, "begins with a number", begins, decimal.Decimal("1.5"))
            found.add(executor, "begins with what sets a variable", begins, tasks.SetsTenant())
            found.add(executor, "begins with what looks around", begins, tasks.LooksAround())
            found.add(executor, "begins", begins, 1)
            found.add(executor, "a coroutine begins", tasks.begins_async, 1)
            found.add(executor, "sees its decorators", tasks.sees_its_decorators)
            found.add(executor, "finds its loop again", tasks.finds_its_loop_again)
            found.add(executor, "is cancelled in its last step", tasks.is_cancelled_in_its_last_step)
            returns = tasks.returns_async if executor == "async" else tasks.returns
            for name in tasks.RETURNS:
                found.add(executor, f"returns {name}", returns, name)
        found.add("async", "is on the loop of the worker", tasks.is_on_the_loop_of_the_worker)
        for executor in ("thread", "async"):
            found.add(executor, "cleans up", tasks.cleans_up, executor)
        with work(url, "-q", "default:2", env={tasks.TRACES: str(traces)}) as running:
            wait_done(conn, 60, lambda: running.output[-5000:])
        yield found
    server.drop(url)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", COMPLETE)
def test_a_job_begins_with_nothing_that_others_have_set(ran: Ran, executor: str, name: str) -> None:
    assert ran.ended(executor, name) == {("completed", None)}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", LOOPS)
def test_a_coroutine_sees_what_its_decorators_set_and_the_loop_of_before(ran: Ran, executor: str, name: str) -> None:
    assert ran.ended(executor, name) == {("completed", None)}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_coroutine_that_returns_has_completed_whatever_was_asked_in_its_last_step(ran: Ran, executor: str) -> None:
    assert ran.ended(executor, "is cancelled in its last step") == {("completed", None)}


def test_a_coroutine_behind_a_plain_decorator_runs_on_the_loop_like_all_others(ran: Ran) -> None:
    assert ran.ended("async", "is on the loop of the worker") == {("completed", None)}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", tasks.AWAITED)
def test_what_is_returned_and_can_be_awaited_is_awaited(ran: Ran, executor: str, name: str) -> None:
    assert ran.ended(executor, f"returns {name}") == {("failed", "ValueError: awaited")}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", tasks.NOT_RUN)
def test_a_job_of_which_nothing_has_run_is_not_completed(ran: Ran, executor: str, name: str) -> None:
    ((status, error),) = ran.ended(executor, f"returns {name}")
    assert status == "failed"
    assert error is not None
    assert "none of its code has run" in error


@pytest.mark.parametrize("executor", ["thread", "async"])
def test_a_coroutine_past_its_timeout_cleans_up_to_the_end(ran: Ran, executor: str) -> None:
    assert ran.ended(executor, "cleans up") == {("failed", "JobTimeout: ran longer than its 0.3 s")}
    assert (ran.traces / executor).exists()


def test_a_task_factory_that_a_job_has_set_stops_no_other_job(database_url: str, conn: psycopg.Connection) -> None:
    enqueue(conn, tasks.changes_the_task_factory)
    for _ in range(5):
        enqueue(conn, tasks.begins_async, 1)
    with work(database_url, "-q", "default:1") as running:
        wait_done(conn, log=lambda: running.output)
    assert states(conn) == {"completed": 6}


def test_at_the_end_of_the_grace_a_coroutine_is_cancelled_and_handed_back(
    database_url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    jobs = [
        enqueue(conn, tasks.cleans_up_when_told.options(executor=executor), executor).id
        for executor in ("thread", "async")
    ]
    with work(database_url, "--grace", 0.2, env={tasks.TRACES: str(tmp_path)}) as running:
        wait_for(conn, "(SELECT count(*) FROM pgjobs.jobs_live WHERE status = 'running') = 2")
        while len(list(tmp_path.glob("* runs"))) < 2:
            wait_for(conn, "true")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
    assert {path.name for path in tmp_path.glob("* cleaned up")} == {"thread cleaned up", "async cleaned up"}
    for job in jobs:
        row = row_of(conn, job)
        assert (row["status"], row["attempt"], row["error"]) == ("queued", 0, None)
