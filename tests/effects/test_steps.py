"""Steps that a job does once over all its attempts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from pgjobs import CurrentJob, SignatureError, StaleClaimError, UsageError, configure, current_job, enqueue
from pgjobs.db.statements import statement
from pgjobs.effects import serve_reports
from pgjobs.effects.steps import restored, stored
from pgjobs.jobs import context
from pgjobs.worker.local.claimed_batch import batch_of
from tests.support import postgres, tasks_effects
from tests.support.callers import KINDS, Caller, settled
from tests.support.claimed import claimed_job
from tests.support.rows import put_dead, put_job, put_worker, row_of
from tests.support.tasks import URL
from tests.support.worker import scalar, wait_for, work


@pytest.fixture(scope="module")
def shared(server: postgres.Server) -> Iterator[psycopg.Connection]:
    """A database with a worker, for all tests here that need one."""
    url = server.take()
    options = ("-q", "default:4", "--processes", "1", "--import", "tests.support.tasks_effects")
    with work(url, *options, env={URL: url}), psycopg.connect(url, autocommit=True) as conn:
        conn.execute(tasks_effects.EFFECTS)
        yield conn
    server.give_back(url)


def ended(conn: psycopg.Connection, task: Any, *arguments: object) -> tuple[str, int, int]:
    """Run a job to its end; return its status, its attempts, and how often its step was done."""
    job = enqueue(conn, task, *arguments)
    wait_for(conn, f"(SELECT status IN ('completed', 'failed') FROM pgjobs.jobs WHERE id = {job.id})")
    row = row_of(conn, job.id)
    effects = conn.execute("SELECT count(*) FROM effects WHERE job = %s", [job.id]).fetchone()
    assert effects is not None
    return row["status"], row["attempt"], effects[0]


@pytest.mark.parametrize("name", ["charge_once", "charge_once_on_loop", "charge_once_in_child"])
def test_a_step_is_done_once_over_all_attempts(shared: psycopg.Connection, name: str) -> None:
    assert ended(shared, getattr(tasks_effects, name)) == ("completed", 3, 1)


def test_a_step_that_raised_is_done_again(shared: psycopg.Connection) -> None:
    assert ended(shared, tasks_effects.fail_in_step) == ("completed", 2, 2)


@pytest.mark.parametrize(("key", "words"), [("", "a name of 1 to 200"), (7, "a name"), ("file", "cannot be pickled")])
def test_a_wrong_key_or_a_value_that_cannot_be_kept_is_an_error_of_the_attempt(
    shared: psycopg.Connection, key: object, words: str
) -> None:
    job = enqueue(shared, tasks_effects.misuse_once, key)
    wait_for(shared, f"(SELECT status = 'failed' FROM pgjobs.jobs WHERE id = {job.id})")
    assert words in row_of(shared, job.id)["error"]


def test_a_value_is_signed_for_its_job_and_its_step() -> None:
    configure(signing_keys=(b"0123456789abcdef0123456789abcdef",))
    data, signature = stored(1, "m:f", "charge", ("a", 1))
    assert restored(1, "charge", data, signature) == ("a", 1)
    for job, key, value in ((2, "charge", data), (1, "refund", data), (1, "charge", data[:-1] + b"x")):
        with pytest.raises(SignatureError):
            restored(job, key, value, signature)
    with pytest.raises(SignatureError):
        restored(1, "charge", data, None)


def test_json_is_kept_where_pickles_are_not_taken() -> None:
    configure(payload="json")
    data, signature = stored(1, "m:f", "charge", {"id": 7})
    assert data == b'j{"id":7}'
    assert restored(1, "charge", data, signature) == {"id": 7}


def test_the_first_value_of_a_step_counts(conn: psycopg.Connection) -> None:
    for value in (b"first", b"second"):
        conn.execute(statement("write_step"), {"id": 1, "key": "k", "value": value, "signature": None})
    assert conn.execute("SELECT value FROM pgjobs.job_steps").fetchall() == [(b"first",)]


def test_old_steps_go_but_not_those_of_jobs_that_may_run_again(conn: psycopg.Connection) -> None:
    over = put_job(conn, status="completed", finished_at="2020-01-01")
    kept = [put_job(conn), put_dead(conn)]
    for job in (over, *kept):
        conn.execute(statement("write_step"), {"id": job, "key": "k", "value": b"", "signature": None})
    conn.execute("UPDATE pgjobs.job_steps SET done_at = now() - interval '25 hours'")
    conn.execute(statement("purge_steps"), {"batch": 10})
    assert [row[0] for row in conn.execute("SELECT job_id FROM pgjobs.job_steps ORDER BY 1")] == sorted(kept)


# -- In the transaction of the job's own work ------------------------------------------------------------------------


@pytest.fixture
def job(conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> int:
    """A job whose first attempt runs, with the table of effects."""
    conn.execute(tasks_effects.EFFECTS)
    monkeypatch.setattr(context, "_reporting", context._Reporting())
    serve_reports()
    return put_job(conn, status="running", worker_id=put_worker(conn, {"default": 1}), claims=1)


@contextmanager
def inside(job: int, claim: int = 1) -> Iterator[None]:
    token = context.current.set(claimed_job(job, claim))
    try:
        yield
    finally:
        context.current.reset(token)


def effects(conn: psycopg.Connection) -> int:
    return int(scalar(conn, "SELECT count(*) FROM effects"))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_step_in_the_transaction_of_its_work_is_done_exactly_once(
    conn: psycopg.Connection, database_url: str, job: int, kind: str
) -> None:
    async def step(caller: Caller, *, conn: str, key: int) -> list[object]:
        await tasks_effects.execute(caller.conn, "INSERT INTO effects VALUES (1)")
        return [conn, key]

    def step_now(caller: Caller, *, conn: str, key: int) -> list[object]:
        tasks_effects.execute_now(caller.conn, "INSERT INTO effects VALUES (1)")
        return [conn, key]

    async def attempt(*, commit: bool) -> Any:
        async with KINDS[kind](database_url) as caller:
            function = step if "async" in kind.lower() else step_now
            value = await settled(current_job().once_in(caller.conn, "k", function, caller, conn="c", key=2))
            assert await settled(current_job().once_in(caller.conn, "k", function, caller, conn="?", key=3)) == value
            await (caller.commit if commit else caller.rollback)()
        return value

    for commit, expected in ((False, 0), (True, 1), (True, 1)):
        with inside(job):
            assert asyncio.run(attempt(commit=commit)) == ["c", 2]
        assert effects(conn) == expected
        assert scalar(conn, "SELECT count(*) FROM pgjobs.job_steps") == expected


def test_of_two_attempts_that_do_a_step_at_once_only_one_commits(
    conn: psycopg.Connection, database_url: str, job: int
) -> None:
    refused: list[BaseException] = []

    def second() -> None:
        with inside(job), psycopg.connect(database_url) as mine:
            try:
                current_job().once_in(mine, "k", tasks_effects.effect, mine)
            except StaleClaimError as error:
                refused.append(error)
                mine.commit()  # which rolls back

    with inside(job), psycopg.connect(database_url) as mine:
        current_job().once_in(mine, "k", tasks_effects.effect, mine)
        thread = threading.Thread(target=second)
        thread.start()
        wait_for(conn, "EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    thread.join()
    assert ["at the same time" in str(error) for error in refused] == [True]
    assert effects(conn) == 1


def test_an_attempt_that_was_taken_back_commits_no_step(conn: psycopg.Connection, database_url: str, job: int) -> None:
    with inside(job, 2), psycopg.connect(database_url) as mine:
        with pytest.raises(StaleClaimError, match="no longer belongs"):
            current_job().once_in(mine, "k", tasks_effects.effect, mine)
        mine.commit()
    assert effects(conn) == 0


async def later() -> None: ...


def test_what_would_not_be_one_commit_is_refused(conn: psycopg.Connection, database_url: str, job: int) -> None:
    with inside(job), psycopg.connect(database_url) as mine:
        functions: list[Any] = [later, lambda: later()]
        for function in functions:
            with pytest.raises(UsageError, match="async"):
                current_job().once_in(mine, "k", function)
        with pytest.raises(UsageError, match="autocommit"):
            current_job().once_in(conn, "k", len, "")
        with pytest.raises(UsageError, match="a name of 1 to 200"):
            current_job().once_in(mine, "", len, "")
    batch = CurrentJob(batch_of([claimed_job(job, 1), claimed_job(job + 1, 1)]))
    with psycopg.connect(database_url) as mine, pytest.raises(UsageError, match="another batch"):
        batch.once_in(mine, "k", len, "")
