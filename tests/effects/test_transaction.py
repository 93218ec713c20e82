"""Jobs in a transaction of their worker: it passes the connection, and its COMMIT completes the job."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any

import psycopg
import pytest

from pgjobs import EnqueueError, Limit, UsageError, configure, enqueue, job
from pgjobs.hooks import around_job
from pgjobs.hooks.kinds import around_hooks
from pgjobs.job_results.encode import decode
from pgjobs.jobs.outcome import COMPLETED, Cancelled, Failed, Outcome, Retried, Snoozed
from pgjobs.payload.pickling import Call
from pgjobs.worker.executors.awaiting import KeptLoop, Rest
from pgjobs.worker.executors.invoke import await_here, call_now
from pgjobs.worker.runtime import own_connections, own_engines
from tests.support import postgres, tasks_transaction
from tests.support.claimed import claimed_job
from tests.support.rows import put_job, put_worker, row_of
from tests.support.tasks_transaction import ASYNC, KINDS
from tests.support.worker import scalar, wait_for, work

HERE = "datname = current_database()"
Attempt = Callable[..., Outcome]


@pytest.fixture
def loop() -> Iterator[KeptLoop]:
    loop = KeptLoop()
    yield loop
    loop.run(_close_of_loop(), None)
    loop.close()


async def _close_of_loop() -> None:
    for conn in own_connections._idle_of_loops.pop(asyncio.get_running_loop(), []):
        await conn.close()
    engine = own_engines._async_engines.pop(asyncio.get_running_loop(), None)
    if engine is not None:
        await engine.dispose()


@pytest.fixture
def attempt(conn: psycopg.Connection, database_url: str, loop: KeptLoop) -> Iterator[Attempt]:
    """Run an attempt of a job as a thread of a worker does, without what comes before and after."""
    configure(database_url=database_url)
    conn.execute(tasks_transaction.EFFECTS)
    worker = put_worker(conn, {"default": 1})

    def attempt(function: Any, *arguments: Any, claims: int = 1) -> Outcome:
        attempt.job = put_job(conn, status="running", worker_id=worker, claims=claims)  # type: ignore[attr-defined]
        claimed, context = claimed_job(attempt.job, 1, max_attempts=2), Context()  # type: ignore[attr-defined]
        done = context.run(call_now, claimed, Call(function, arguments, {}))
        return context.run(await_here, claimed, done, loop, None) if isinstance(done, Rest) else done

    yield attempt
    own_connections.close_idle()
    own_engines.close_idle()


def job_of(attempt: Attempt) -> int:
    """Return the job of the last attempt."""
    return attempt.job  # type: ignore[attr-defined,no-any-return]  # it is set above


def effects(conn: psycopg.Connection, job: int) -> list[int]:
    """Return the backends that have written effects of a job."""
    return [row[0] for row in conn.execute("SELECT pid FROM effects WHERE job = %s", [job])]


def results(conn: psycopg.Connection, job: int) -> list[Any]:
    rows = conn.execute("SELECT value, is_json, signature FROM pgjobs.results WHERE job_id = %s", [job])
    return [decode(job, *row) for row in rows.fetchall()]


kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_the_commit_completes_the_job_with_its_result_and_the_connection_is_kept(
    conn: psycopg.Connection, attempt: Attempt, kind: str
) -> None:
    backends = set()
    for _ in range(3):
        assert attempt(KINDS[kind]) is COMPLETED
        assert row_of(conn, job_of(attempt))["status"] == "completed"
        assert results(conn, job_of(attempt)) == ["returns"]
        backends.update(effects(conn, job_of(attempt)))
    assert len(backends) == 1


@kinds
@pytest.mark.parametrize(
    ("fate", "outcome", "says"),
    [
        ("raises", Retried, "after its work"),
        ("snoozes", Snoozed, ""),
        ("retries", Retried, "asked to be retried"),
        ("cancels", Cancelled, "enough"),
        ("returns a lot", Failed, "ResultTooLargeError"),
        ("commits", Retried, "ommit|already begun"),
        ("completes", Retried, "leave complete\\(\\) out"),
        ("rolls back", Retried, "ollback"),
        ("closes", Retried, "close"),
        ("exits", Retried, "SystemExit"),
    ],
)
def test_what_does_not_return_is_rolled_back(
    conn: psycopg.Connection, attempt: Attempt, kind: str, fate: str, outcome: type[Outcome], says: str
) -> None:
    ended = attempt(KINDS[kind], fate)
    assert isinstance(ended, outcome)
    assert re.search(says, str(ended))
    assert effects(conn, job_of(attempt)) == []
    assert row_of(conn, job_of(attempt))["status"] == "running"  # until it is acknowledged
    assert scalar(conn, f"SELECT count(*) FROM pg_stat_activity WHERE state ~ 'in transaction' AND {HERE}") == 0
    assert attempt(KINDS[kind]) is COMPLETED  # the next job has a connection that works


@kinds
def test_an_attempt_that_was_taken_back_commits_nothing(conn: psycopg.Connection, attempt: Attempt, kind: str) -> None:
    ended = attempt(KINDS[kind], claims=2)
    assert isinstance(ended, Retried)
    assert "StaleClaimError" in ended.error
    assert effects(conn, job_of(attempt)) == []


@kinds
def test_a_connection_that_was_lost_meanwhile_costs_no_attempt(
    conn: psycopg.Connection, attempt: Attempt, kind: str
) -> None:
    assert attempt(KINDS[kind]) is COMPLETED
    (backend,) = effects(conn, job_of(attempt))
    assert scalar(conn, "SELECT pg_terminate_backend(%s, 5000)", [backend])
    assert attempt(KINDS[kind]) is COMPLETED
    assert effects(conn, job_of(attempt)) not in ([], [backend])


def test_what_a_session_has_gathered_is_written_before_the_job_ends(conn: psycopg.Connection, attempt: Attempt) -> None:
    assert attempt(tasks_transaction.add_to_session) is COMPLETED
    assert len(effects(conn, job_of(attempt))) == 1


def test_an_error_of_the_commit_is_one_of_the_attempt(conn: psycopg.Connection, attempt: Attempt) -> None:
    conn.execute("CREATE UNIQUE INDEX one ON effects (job)")
    conn.execute("ALTER TABLE effects ADD UNIQUE (job) DEFERRABLE INITIALLY DEFERRED")
    conn.execute("DROP INDEX one")
    ended = attempt(tasks_transaction.insert_twice)
    assert isinstance(ended, Retried)
    assert "UniqueViolation" in ended.error
    assert row_of(conn, job_of(attempt))["status"] == "running"
    assert attempt(tasks_transaction.on_psycopg) is COMPLETED


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("task", ["end_by_hand", "end_by_hand_async"])
def test_a_transaction_that_the_function_has_ended_by_a_statement_completes_nothing(
    conn: psycopg.Connection, attempt: Attempt, task: str, statement: str
) -> None:
    assert "has ended its transaction by a statement" in str(attempt(getattr(tasks_transaction, task), statement))
    assert row_of(conn, job_of(attempt))["status"] == "running"
    assert attempt(tasks_transaction.on_psycopg) is COMPLETED


def test_a_plain_function_that_returns_a_coroutine_has_not_done_its_work(
    conn: psycopg.Connection, attempt: Attempt
) -> None:
    assert "make it an `async def`" in str(attempt(tasks_transaction.on_psycopg, "returns a coroutine"))
    assert effects(conn, job_of(attempt)) == []


def test_what_a_job_changes_of_its_connection_is_not_there_for_the_next(attempt: Attempt) -> None:
    assert attempt(tasks_transaction.change_connection) is COMPLETED
    assert attempt(tasks_transaction.on_psycopg) is COMPLETED


def test_threads_share_the_connections_that_are_free(conn: psycopg.Connection, attempt: Attempt) -> None:
    in_threads(attempt, 3)
    for _ in range(5):
        assert attempt(tasks_transaction.on_psycopg) is COMPLETED
    assert scalar(conn, "SELECT count(*) FROM effects") == 8
    assert scalar(conn, "SELECT count(DISTINCT pid) FROM effects") == 3


def test_a_connection_that_is_more_than_enough_is_closed_after_a_time(
    conn: psycopg.Connection, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_threads(attempt, 3)
    monkeypatch.setattr(own_connections, "KEEP_IDLE", 0.0)
    for left in (2, 1, 1):
        assert attempt(tasks_transaction.on_psycopg) is COMPLETED
        assert len(own_connections._idle) == left


def in_threads(attempt: Attempt, number: int) -> None:
    """Run as many attempts at once."""
    all_there = threading.Barrier(number)
    threads = [threading.Thread(target=attempt, args=(tasks_transaction.meet, all_there.wait)) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_hook_sees_an_error_of_the_transaction_and_fails_nothing_that_is_committed(
    conn: psycopg.Connection, attempt: Attempt
) -> None:
    seen: list[str] = []

    @around_job
    class Fails:
        def __init__(self, _: Any) -> None: ...

        def __enter__(self) -> None: ...

        def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
            seen.append("" if kind is None else kind.__name__)
            if kind is None:
                raise ValueError("too late")

    try:
        attempt(tasks_transaction.on_psycopg, claims=2)
        attempt(tasks_transaction.on_async_session, claims=2)
        assert seen == ["StaleClaimError"] * 2
        attempt(tasks_transaction.on_psycopg)
    finally:
        around_hooks.clear()
    assert row_of(conn, job_of(attempt))["status"] == "completed"


# -- Workers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(server: postgres.Server) -> Iterator[psycopg.Connection]:
    """A database with a worker, for all tests here that need one."""
    url = server.take()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(tasks_transaction.EFFECTS)
        options = ("-q", "default:4", "--processes", "1", "--import", "tests.support.tasks_transaction")
        with work(url, *options):
            yield conn
    server.give_back(url)


def ended(conn: psycopg.Connection, function: Any, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    handle = enqueue(conn, function, *arguments, **keywords)
    wait_for(conn, f"(SELECT status IN ('completed', 'failed') FROM pgjobs.jobs WHERE id = {handle.id})")
    return {**row_of(conn, handle.id), "effects": len(effects(conn, handle.id))}


@pytest.mark.parametrize("executor", ["thread", "process", None])
@pytest.mark.parametrize("kind", ["on_psycopg", "on_session", *ASYNC])
def test_workers_run_them_in_threads_on_the_loop_and_in_children(
    shared: psycopg.Connection, kind: str, executor: Any
) -> None:
    for _ in range(2):
        row = ended(shared, KINDS[kind].options(executor=executor))
        assert (row["error"], row["status"], row["effects"]) == (None, "completed", 1)
        assert results(shared, row["id"]) == ["returns"]


def test_a_connection_that_is_lost_in_a_job_costs_one_attempt(shared: psycopg.Connection) -> None:
    row = ended(shared, tasks_transaction.lose_connection)
    assert (row["status"], row["attempt"], row["effects"]) == ("completed", 2, 1)


def test_a_job_that_runs_too_long_in_a_statement_leaves_no_transaction(shared: psycopg.Connection) -> None:
    row = ended(shared, tasks_transaction.sleep_in_postgres.options(timeout=0.3), 2.0)
    assert (row["status"], row["error_kind"], row["effects"]) == ("failed", "timeout", 0)
    assert ended(shared, tasks_transaction.on_psycopg)["status"] == "completed"


def test_a_child_that_a_job_forks_does_not_commit(shared: psycopg.Connection) -> None:
    row = ended(shared, tasks_transaction.on_psycopg, "forks")
    assert (row["status"], row["effects"]) == ("completed", 1)


# -- Declaring and enqueueing them -----------------------------------------------------------------------------------


def test_it_is_enqueued_without_its_connection_and_called_with_it(shared: psycopg.Connection) -> None:
    limited = tasks_transaction.from_json.options(limit=Limit("n:{number}"))
    row = ended(shared, limited, 7, name="x")
    assert (row["summary"], row["status"], row["limit_key"]) == ("from_json(7, name='x')", "completed", "n:7")
    assert scalar(shared, "SELECT pgjobs.result(%s)", [row["id"]]) == [7, "x"]
    assert tasks_transaction.add.function(shared, 1, 2) == 3
    assert tasks_transaction.add(shared, 1, 2) == 3
    for wrong in ((), (1, 2, 3), (shared, 1, 2)):
        with pytest.raises(EnqueueError):
            enqueue(shared, tasks_transaction.add, *wrong)
    with pytest.raises(EnqueueError, match="as it is"):
        enqueue(shared, tasks_transaction.partly, 2)
    with pytest.raises(UsageError, match="no such parameter"):
        tasks_transaction.add.options(limit="{conn}")


def unannotated(conn, number: int) -> None: ...  # type: ignore[no-untyped-def]  # the mistake
def of_another_kind(conn: threading.Thread) -> None: ...
def maybe(conn: psycopg.Connection | None) -> None: ...
def nothing() -> None: ...
def of_many(*conn: psycopg.Connection) -> None: ...
def by_name(*, conn: psycopg.Connection) -> None: ...
def not_found(conn: "Session") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037 (the mistake)
async def with_sync(conn: psycopg.Connection) -> None: ...
def with_async(conn: psycopg.AsyncConnection) -> None: ...


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (unannotated, "conn of unannotated has no annotation"),
        (of_another_kind, "is a threading Thread"),
        (maybe, "psycopg"),
        (nothing, "has no first parameter"),
        (of_many, "has no first parameter"),
        (by_name, "has no first parameter"),
        (not_found, "import the class where the module runs"),
        (with_sync, "conn of with_sync is not async"),
        (with_async, "conn of with_async is async"),
    ],
)
def test_a_wrong_annotation_is_refused_where_the_job_is_declared(function: Any, says: str) -> None:
    with pytest.raises(UsageError, match="transaction=True") as refused:
        job(transaction=True)(function)
    assert says in str(refused.value)


def test_it_cannot_be_changed_for_one_enqueue() -> None:
    with pytest.raises(UsageError, match="give it to @job"):
        tasks_transaction.add.options(transaction=False)  # type: ignore[call-arg]  # the mistake
