"""Jobs that complete themselves: their effects and their end are one commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from pgjobs import (
    Breaker,
    ResultError,
    ResultTooLargeError,
    Sequence,
    StaleClaimError,
    UsageError,
    complete,
    enqueue,
    job,
)
from pgjobs.db.statements import results_channel
from pgjobs.db.url import sqlalchemy_url
from pgjobs.job_results.encode import decode
from pgjobs.jobs.context import current
from tests.support import postgres, tasks_effects
from tests.support.callers import KINDS, settled
from tests.support.claimed import claimed_job
from tests.support.processes import wait_until
from tests.support.rows import put_job, put_worker, row_of
from tests.support.tasks import URL, nothing
from tests.support.worker import Work, scalar, wait_for, work

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
def shared(shared_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shared_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def run(shared: psycopg.Connection, worker: Work) -> Callable[..., dict[str, Any]]:
    """Enqueue a job, wait for its end, and return its row, with how often its effect is there."""
    shared.execute("DROP TABLE IF EXISTS effects")
    shared.execute(tasks_effects.EFFECTS)

    def run(task: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        handle = enqueue(shared, task.options(**options) if options else task, *arguments)
        wait_for(shared, f"(SELECT status IN ('completed', 'failed') FROM pgjobs.jobs WHERE id = {handle.id})")
        return {**row_of(shared, handle.id), "effects": effects_of(shared, handle.id)}

    return run


def effects_of(conn: psycopg.Connection, job: int) -> int:
    return int(scalar(conn, "SELECT count(*) FROM effects WHERE job = %s", [job]))


def results_of(conn: psycopg.Connection, job: int) -> list[Any]:
    rows = conn.execute("SELECT value, is_json, signature FROM pgjobs.results WHERE job_id = %s", [job])
    return [decode(job, *row) for row in rows.fetchall()]


@pytest.mark.parametrize("task", ["complete_on", "complete_on_loop"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_job_completes_itself_on_every_kind_of_connection(
    run: Callable[..., dict[str, Any]], shared: psycopg.Connection, kind: str, task: str
) -> None:
    row = run(getattr(tasks_effects, task), kind)
    assert (row["error"], row["status"], row["effects"]) == (None, "completed", 1)
    assert row["finished_at"] >= row["started_at"]
    assert results_of(shared, row["id"]) == [{"kind": kind}]  # of the call; what it returned came too late


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


@pytest.mark.parametrize("kind", [Engine.connect, Session])
def test_an_engine_in_autocommit_is_refused(conn: psycopg.Connection, database_url: str, kind: Any) -> None:
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    number = as_running(conn, 1)
    with inside(number), kind(engine) as caller, pytest.raises(UsageError, match="autocommit"):
        complete(caller)
    assert row_of(conn, number)["status"] == "running"


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("kind", [AsyncEngine.connect, AsyncSession])
def test_an_async_engine_in_autocommit_is_refused(
    conn: psycopg.Connection, database_url: str, kind: Any, driver: str
) -> None:
    async def attempt() -> None:
        url = sqlalchemy_url(database_url, driver)
        engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        async with kind(engine) as caller:
            with pytest.raises(UsageError, match="autocommit"):
                await complete(caller)

    number = as_running(conn, 1)
    with inside(number):
        asyncio.run(attempt())
    assert row_of(conn, number)["status"] == "running"


def test_a_call_that_is_not_awaited_fails_the_attempt(run: Callable[..., dict[str, Any]]) -> None:
    row = run(tasks_effects.forget_to_await)
    assert row["status"] == "failed"
    assert "the call not awaited" in row["error"]


@pytest.mark.parametrize(("commit", "status"), [(True, "completed"), (False, "failed")])
def test_a_transaction_that_is_open_when_the_job_returns_decides_when_it_ends(
    run: Callable[..., dict[str, Any]], shared_url: str, worker: Work, commit: bool, status: str
) -> None:
    with psycopg.connect(shared_url, autocommit=True) as conn:
        left = enqueue(conn, tasks_effects.leave_open)
        here = "datname = current_database()"
        wait_for(conn, f"EXISTS (SELECT FROM pg_stat_activity WHERE state = 'idle in transaction' AND {here})")
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


def test_a_queue_that_keeps_no_history_keeps_none_but_results(
    run: Callable[..., dict[str, Any]], shared: psycopg.Connection
) -> None:
    shared.execute("INSERT INTO pgjobs.queues (name) VALUES ('default') ON CONFLICT DO NOTHING")
    shared.execute("UPDATE pgjobs.queues SET keep_completed = false")
    try:
        jobs = [
            enqueue(shared, tasks_effects.complete_then, "returns").id,
            enqueue(shared, tasks_effects.complete_with, 1).id,
        ]
        wait_for(shared, f"NOT EXISTS (SELECT FROM pgjobs.jobs WHERE id = ANY ('{{{jobs[0]}, {jobs[1]}}}'))")
        assert [effects_of(shared, job) for job in jobs] == [1, 1]
        assert [results_of(shared, job) for job in jobs] == [[], ["x"]]
    finally:
        shared.execute("UPDATE pgjobs.queues SET keep_completed = true")


# -- Results ---------------------------------------------------------------------------------------------------------


@job(result=True)
def kept() -> None: ...


@job
def not_kept() -> None: ...


def as_running(conn: psycopg.Connection, claims: int) -> int:
    worker = put_worker(conn, {"default": 1})
    return put_job(conn, status="running", worker_id=worker, claims=claims, attempt=claims)


@contextmanager
def inside(number: int, function: Any = not_kept) -> Iterator[None]:
    """Be in the first attempt of this job."""
    token = current.set(claimed_job(number, 1, function=function))
    try:
        yield
    finally:
        current.reset(token)


def test_a_result_that_cannot_be_kept_fails_the_job_for_good(
    run: Callable[..., dict[str, Any]], shared: psycopg.Connection
) -> None:
    row = run(tasks_effects.complete_with, 2_000_000)
    assert (row["status"], row["attempt"], row["effects"]) == ("failed", 1, 0)
    assert row["error"].startswith("ResultTooLargeError: ")
    assert results_of(shared, row["id"]) == []


@pytest.mark.parametrize(
    ("function", "given", "error"),
    [
        (kept, {"result": "x" * 2_000_000}, ResultTooLargeError),
        (kept, {"result": threading.Lock()}, ResultError),
        (kept, {}, UsageError),
        (not_kept.options(result=60), {}, UsageError),
        (not_kept, {"result": 1}, UsageError),
        (len, {"result": 1}, UsageError),
    ],
)
def test_what_is_wrong_with_a_result_is_said_before_anything_is_written(
    conn: psycopg.Connection, database_url: str, function: Any, given: dict[str, Any], error: type[Exception]
) -> None:
    number = as_running(conn, 1)
    with inside(number, function), psycopg.connect(database_url) as mine:
        with pytest.raises(error):
            complete(mine, **given)
        assert mine.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert row_of(conn, number)["status"] == "running"


def test_a_result_is_kept_and_rings_when_its_transaction_is_committed_and_not_before(
    conn: psycopg.Connection, database_url: str
) -> None:
    number = as_running(conn, 1)
    conn.execute("SELECT pgjobs.arm_result_bell(30)")
    conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(results_channel())))
    with inside(number, kept.options(result=3600)), psycopg.connect(database_url) as mine:
        complete(mine, result=[5])
        assert results_of(conn, number) == []
        assert not list(conn.notifies(timeout=0))
        mine.commit()
    assert results_of(conn, number) == [[5]]
    assert len(list(conn.notifies(timeout=10, stop_after=1))) == 1
    kept_for = "SELECT extract(epoch FROM kept_until - finished_at) BETWEEN 3599.9 AND 3600.1"
    assert scalar(conn, f"{kept_for} FROM pgjobs.results JOIN pgjobs.jobs ON id = job_id")


def test_a_result_is_not_kept_where_the_enqueue_says_so(conn: psycopg.Connection, database_url: str) -> None:
    number = as_running(conn, 1)
    with inside(number, kept.options(result=False)), psycopg.connect(database_url) as mine:
        complete(mine, result=threading.Lock())
    assert row_of(conn, number)["status"] == "completed"
    assert results_of(conn, number) == []


def test_a_result_that_a_trigger_keeps_out_keeps_the_job_as_well(conn: psycopg.Connection, database_url: str) -> None:
    conn.execute("CREATE FUNCTION public.mute() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    conn.execute("CREATE TRIGGER mute BEFORE INSERT ON pgjobs.results FOR EACH ROW EXECUTE FUNCTION public.mute()")
    number = as_running(conn, 1)
    with inside(number, kept), psycopg.connect(database_url) as mine:
        with pytest.raises(psycopg.Error):
            complete(mine, result=1)
        mine.commit()
    assert row_of(conn, number)["status"] == "running"


# -- The fence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "given"), [(not_kept, {}), (kept, {"result": 1})])
def test_an_attempt_that_was_taken_back_cannot_commit_anything(
    conn: psycopg.Connection, database_url: str, function: Any, given: dict[str, Any]
) -> None:
    number = as_running(conn, 2)
    conn.execute(tasks_effects.EFFECTS)
    with inside(number, function), psycopg.connect(database_url) as mine:
        mine.execute("INSERT INTO effects VALUES (1)")
        with pytest.raises(StaleClaimError, match=f"job {number} .*taken back"):
            complete(mine, **given)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            mine.execute("SELECT 1")
        mine.commit()  # which rolls back
    assert results_of(conn, number) == []
    assert conn.execute("SELECT count(*) FROM effects").fetchone() == (0,)
    assert row_of(conn, number)["status"] == "running"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_kind_of_connection_commits_what_an_attempt_did_that_was_taken_back(
    conn: psycopg.Connection, database_url: str, kind: str
) -> None:
    async def attempt() -> None:
        async with KINDS[kind](database_url) as caller:
            await tasks_effects.execute(caller.conn, "INSERT INTO effects VALUES (1)")
            with pytest.raises(StaleClaimError):
                await settled(complete(caller.conn))
            with suppress(Exception):  # some drivers say that it was rolled back
                await caller.commit()

    number = as_running(conn, 2)
    conn.execute(tasks_effects.EFFECTS)
    with inside(number):
        asyncio.run(attempt())
    assert scalar(conn, "SELECT count(*) FROM effects") == 0
    assert row_of(conn, number)["status"] == "running"


def test_outside_of_a_job_it_is_refused(conn: psycopg.Connection) -> None:
    with pytest.raises(LookupError, match="outside a job"):
        complete(conn)


def test_a_text_in_place_of_a_connection_is_refused() -> None:
    with inside(1), pytest.raises(UsageError):
        complete("postgresql://")  # type: ignore[call-overload]  # the mistake
