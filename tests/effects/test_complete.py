"""Jobs that complete themselves: their effects and their end are one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from pgjobs import Breaker, Sequence, StaleClaimError, UsageError, complete, enqueue
from pgjobs.jobs.context import current
from tests.support import postgres, tasks_effects
from tests.support.callers import KINDS
from tests.support.claimed import claimed_job
from tests.support.processes import wait_until
from tests.support.rows import put_job, put_worker, row_of
from tests.support.tasks import URL, nothing
from tests.support.worker import Work, wait_for, work

NAMES = ("complete_in_child", "complete_then")


@pytest.fixture(scope="module")
def shared_url(server: postgres.Server) -> Iterator[str]:
    """The database of all tests here that need a worker, so that one is enough."""
    url = server.take()
    yield url
    server.give_back(url)


@pytest.fixture(scope="module")
def worker(shared_url: str) -> Iterator[Work]:
    options = ("-q", "default:4", "--processes", "1", "--import", "tests.support.tasks_effects")
    with work(shared_url, *options, env={URL: shared_url}) as running:
        yield running


@pytest.fixture
def run(shared_url: str, worker: Work) -> Iterator[Callable[..., dict[str, Any]]]:
    """Enqueue a job, wait for its end, and return its row, with how often its effect is there."""
    with psycopg.connect(shared_url, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS effects")
        conn.execute(tasks_effects.EFFECTS)

        def run(task: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
            handle = enqueue(conn, task.options(**options) if options else task, *arguments)
            wait_for(conn, f"(SELECT status IN ('completed', 'failed') FROM pgjobs.jobs WHERE id = {handle.id})")
            row = row_of(conn, handle.id)
            effects = conn.execute("SELECT count(*) FROM effects WHERE job = %s", [handle.id]).fetchone()
            assert effects is not None
            return {**row, "effects": effects[0]}

        yield run


@pytest.mark.parametrize("task", ["complete_on", "complete_on_loop"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_job_completes_itself_on_every_kind_of_connection(
    run: Callable[..., dict[str, Any]], kind: str, task: str
) -> None:
    row = run(getattr(tasks_effects, task), kind)
    assert (row["error"], row["status"], row["effects"]) == (None, "completed", 1)
    assert row["finished_at"] >= row["started_at"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fate", ["returns", "raises after", "is cut off", "dies"])
def test_what_is_committed_has_completed_whatever_the_job_does_then(
    run: Callable[..., dict[str, Any]], worker: Work, name: str, fate: str
) -> None:
    if fate == "dies" and name != "complete_in_child":
        pytest.skip("that is the end of the worker: see the chaos suite")
    row = run(getattr(tasks_effects, name), fate)
    assert (row["status"], row["effects"]) == ("completed", 1)
    if fate != "returns":
        wait_until(lambda: "completed, and failed after that" in worker.output)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fate", "error"),
    [("rolls back", "called complete() and returned"), ("raises before", "before the commit")],
)
def test_what_is_rolled_back_has_not_completed_and_the_attempt_fails(
    run: Callable[..., dict[str, Any]], name: str, fate: str, error: str
) -> None:
    row = run(getattr(tasks_effects, name), fate)
    assert (row["status"], row["effects"]) == ("failed", 0)
    assert error in row["error"]


def test_a_second_call_is_refused_and_ends_the_transaction(run: Callable[..., dict[str, Any]]) -> None:
    row = run(tasks_effects.complete_twice)
    assert (row["status"], row["effects"]) == ("failed", 0)
    assert "complete() was called before" in row["error"]


def test_a_connection_in_autocommit_is_refused(run: Callable[..., dict[str, Any]]) -> None:
    row = run(tasks_effects.complete_in_autocommit)
    assert (row["status"], row["error_kind"]) == ("failed", "exception")
    assert "autocommit" in row["error"]


@pytest.mark.parametrize(("commit", "status"), [(True, "completed"), (False, "failed")])
def test_a_transaction_that_is_open_when_the_job_returns_decides_when_it_ends(
    run: Callable[..., dict[str, Any]], shared_url: str, worker: Work, commit: bool, status: str
) -> None:
    with psycopg.connect(shared_url, autocommit=True) as conn:
        left = enqueue(conn, tasks_effects.leave_open)
        wait_for(conn, "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'idle in transaction')")
        assert run(nothing)["status"] == "completed"  # it holds up no other
        assert row_of(conn, left.id)["status"] == "running"
        run(tasks_effects.end_what_is_open, commit)
        wait_for(conn, f"(SELECT status = '{status}' FROM pgjobs.jobs WHERE id = {left.id})", log=lambda: worker.output)


def test_jobs_that_wait_for_it_are_released(run: Callable[..., dict[str, Any]], shared_url: str) -> None:
    with psycopg.connect(shared_url) as conn:
        first = enqueue(conn, tasks_effects.complete_then.options(delay=0.3), "returns")
        second = enqueue(conn, nothing.options(after=[first]))
        conn.commit()
        wait_for(conn, f"(SELECT status = 'completed' FROM pgjobs.jobs WHERE id = {second.id})")
        one, two = row_of(conn, first.id), row_of(conn, second.id)
    assert two["started_at"] >= one["finished_at"]


def test_the_next_of_a_sequence_runs_and_a_breaker_learns_of_it(run: Callable[..., dict[str, Any]]) -> None:
    options = {"sequence": Sequence("s"), "breaker": Breaker("b")}
    rows = [run(tasks_effects.complete_then, "returns", **options) for _ in range(3)]
    assert [row["status"] for row in rows] == ["completed"] * 3


def test_a_queue_that_keeps_no_history_keeps_none(run: Callable[..., dict[str, Any]], shared_url: str) -> None:
    with psycopg.connect(shared_url, autocommit=True) as conn:
        conn.execute("INSERT INTO pgjobs.queues (name) VALUES ('default') ON CONFLICT DO NOTHING")
        conn.execute("UPDATE pgjobs.queues SET keep_completed = false")
        try:
            handle = enqueue(conn, tasks_effects.complete_then, "returns")
            wait_for(conn, f"NOT EXISTS (SELECT FROM pgjobs.jobs WHERE id = {handle.id})")
            wait_for(conn, f"EXISTS (SELECT FROM effects WHERE job = {handle.id})")
        finally:
            conn.execute("UPDATE pgjobs.queues SET keep_completed = true")


# -- The fence -------------------------------------------------------------------------------------------------------


def as_running(conn: psycopg.Connection, claims: int) -> int:
    worker = put_worker(conn, {"default": 1})
    return put_job(conn, status="running", worker_id=worker, claims=claims, attempt=claims)


def test_an_attempt_that_was_taken_back_cannot_commit_anything(conn: psycopg.Connection, database_url: str) -> None:
    number = as_running(conn, 2)
    conn.execute(tasks_effects.EFFECTS)
    token = current.set(claimed_job(number, 1))
    try:
        with psycopg.connect(database_url) as mine:
            mine.execute("INSERT INTO effects VALUES (1)")
            with pytest.raises(StaleClaimError, match=f"job {number} .*taken back"):
                complete(mine)
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                mine.execute("SELECT 1")
            mine.commit()  # which rolls back
    finally:
        current.reset(token)
    assert conn.execute("SELECT count(*) FROM effects").fetchone() == (0,)
    assert row_of(conn, number)["status"] == "running"


def test_outside_of_a_job_it_is_refused(conn: psycopg.Connection) -> None:
    with pytest.raises(LookupError, match="outside a job"):
        complete(conn)


def test_a_text_in_place_of_a_connection_is_refused() -> None:
    token = current.set(claimed_job())
    try:
        with pytest.raises(UsageError):
            complete("postgresql://")  # type: ignore[call-overload]  # the mistake
    finally:
        current.reset(token)
