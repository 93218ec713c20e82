"""`result`, `results` and `as_completed`, against real workers."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from pgjobs import (
    JobCancelledError,
    JobFailedError,
    NoResultError,
    PayloadError,
    SignatureError,
    UsageError,
    admin,
    as_completed,
    configure,
    enqueue,
    enqueue_many,
    result,
    results,
)
from pgjobs.cli.main import main
from pgjobs.core.errors import NotAllowedError
from pgjobs.db.url import sqlalchemy_url
from pgjobs.job_results import watcher as module
from pgjobs.job_results.source import source_of
from pgjobs.job_results.watcher import Watcher, watcher_of
from tests.support import tasks_results as tasks
from tests.support.callers import KINDS, settled
from tests.support.processes import wait_until
from tests.support.rows import put_dead, put_job
from tests.support.tasks_results import Pdf
from tests.support.worker import QUICK, drain, scalar, work

if TYPE_CHECKING:
    from psycopg import Connection

pytestmark = pytest.mark.in_turns(3)


OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pgjobs results'"


def here(conn: Connection) -> Watcher:
    return watcher_of(source_of(conn, "test").place)


def put_result(conn: Connection, job: int, value: str = "1") -> None:
    conn.execute(
        "INSERT INTO pgjobs.results (job_id, kept_until, is_json, value) VALUES (%s, 'infinity', true, %s)",
        [job, value.encode()],
    )


def test_a_result_is_waited_for_with_whatever_leads_to_the_database(database_url: str, conn: Connection) -> None:
    async def on(kind: str, number: int) -> Any:
        async with KINDS[kind](database_url) as caller:
            handle = await settled(enqueue(caller.conn, tasks.render, number))
            await caller.commit()
            found = await settled(result(caller.conn, handle, timeout=30))
            assert found == await settled(result(caller.conn, handle.id, timeout=30))
            assert [found] == await settled(results(caller.conn, [handle], timeout=30))
            pairs = as_completed(caller.conn, [handle], timeout=30)
            ended = [pair async for pair in pairs] if hasattr(pairs, "__aiter__") else list(pairs)
            assert ended == [(handle, found)]
            return found

    with work(database_url):
        for number, kind in enumerate(KINDS):
            assert asyncio.run(on(kind, number)) == Pdf(number), kind
        handle = enqueue(conn, tasks.fetch, 7)
        engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
        pdf: Pdf = result(engine, handle, timeout=30)

        async def on_engine(driver: str) -> Pdf:
            async_engine = create_async_engine(sqlalchemy_url(database_url, driver), poolclass=NullPool)
            return await result(async_engine, handle, timeout=30)

        assert [pdf, asyncio.run(on_engine("psycopg")), asyncio.run(on_engine("asyncpg"))] == [Pdf(7)] * 3
    assert [watcher.connections for watcher in module._watchers.values()] == [1]


def test_a_job_that_ends_otherwise_raises_what_came_of_it(database_url: str, conn: Connection) -> None:
    failed = enqueue(conn, tasks.fail, "no")
    cancelled = enqueue(conn, tasks.render.options(delay=600), 1)
    admin.cancel_jobs(conn, [cancelled], reason="not needed")
    none = enqueue(conn, tasks.keep_nothing, 1)
    drain(database_url)
    with pytest.raises(
        JobFailedError, match=f"job {failed.id} .*tasks_results:fail. has failed: ValueError: no"
    ) as caught:
        result(conn, failed)
    assert (caught.value.id, caught.value.error, caught.value.attempts) == (failed.id, "ValueError: no", 2)
    assert "raise ValueError(text)" in (caught.value.traceback or "")
    with pytest.raises(JobCancelledError, match="was cancelled: not needed") as asked:
        result(conn, cancelled)
    assert asked.value.reason == "not needed"
    with pytest.raises(NoResultError, match=r"has completed, and .*keeps no result"):
        result(conn, none)
    with pytest.raises(NoResultError, match="there is no job 4711"):
        result(conn, 4711)
    ok = put_job(conn, status="completed")
    put_result(conn, ok)
    found = results(conn, [ok, failed.id, 4711], return_errors=True)
    assert [found[0], *map(type, found[1:])] == [1, JobFailedError, NoResultError]
    with pytest.raises(JobFailedError):
        results(conn, [ok, failed.id])
    with pytest.raises(TimeoutError, match=r"job \d+ has not ended after 0.05 s; it continues"):
        result(conn, put_job(conn), timeout=0.05)
    turn = put_job(conn, status="waiting", lane="a\x1f\x1f\x1f")
    with pytest.raises(TimeoutError, match=f"job {turn} has not ended"):
        result(conn, turn, timeout=0.5)
    with pytest.raises(TimeoutError, match=r"1 of 2 jobs have not ended after 0.05 s \(one is \d+\); they continue"):
        results(conn, [ok, put_job(conn)], timeout=0.05)


def test_an_expired_result_is_not_given(conn: Connection) -> None:
    job = put_job(conn, status="completed")
    conn.execute("INSERT INTO pgjobs.results (job_id, kept_until, is_json, value) VALUES (%s, now(), true, '1')", [job])
    with pytest.raises(NoResultError, match="has expired"):
        result(conn, job)


def test_a_dead_letter_tells_what_history_has_dropped(conn: Connection) -> None:
    job = put_dead(conn)
    conn.execute("DELETE FROM pgjobs.jobs_history")
    with pytest.raises(JobFailedError, match="ValueError: no"):
        result(conn, job)


@pytest.mark.parametrize(
    "kind", ["psycopg Connection", "Session", "AsyncSession on psycopg", "AsyncConnection on asyncpg"]
)
def test_a_wait_in_the_transaction_that_has_enqueued_the_job_is_refused(database_url: str, kind: str) -> None:
    async def main() -> None:
        async with KINDS[kind](database_url) as caller:
            handle = await settled(enqueue(caller.conn, tasks.render, 1))
            with pytest.raises(UsageError, match=f"job {handle.id} was enqueued in this transaction.*commit first"):
                await settled(result(caller.conn, handle, timeout=30))
            await caller.rollback()

    asyncio.run(main())


def test_what_leads_to_no_database_is_refused(conn: Connection) -> None:
    others: tuple[Any, ...] = (None, "postgresql://x", create_engine("sqlite://"))
    for wrong in others:
        with pytest.raises(UsageError, match=r"result cannot wait on|pass one to the database"):
            result(wrong, 1)
    with pytest.raises(UsageError, match="takes an iterable"):
        results(conn, 7)  # type: ignore[call-overload]  # wrong on purpose


def test_a_wrong_signature_and_what_is_not_allowed_are_not_loaded(database_url: str, conn: Connection) -> None:
    handle = enqueue(conn, tasks.render, 1)
    drain(database_url)
    with configured(signing_keys=(b"k",)), pytest.raises(SignatureError, match="is not signed"):
        result(conn, handle)
    with configured(signing_keys=(b"k",)):
        signed, other = enqueue(conn, tasks.render, 2), enqueue(conn, tasks.render, 3)
        drain(database_url, env={"PGJOBS_SIGNING_KEY": "k"})
        assert results(conn, [signed, other]) == [Pdf(2), Pdf(3)]
        conn.execute(
            "UPDATE pgjobs.results AS r SET value = o.value, signature = o.signature FROM pgjobs.results AS o"
            " WHERE r.job_id = %s AND o.job_id = %s",
            [signed.id, other.id],
        )
        with pytest.raises(SignatureError, match="is wrong"):
            result(conn, signed)
    with configured(allow=["shop.*"]), pytest.raises(NotAllowedError, match="Pdf may not be used"):
        result(conn, handle)
    with configured(allow=["tests.*"]):
        assert result(conn, handle) == Pdf(1)
    with configured(payload="json"), pytest.raises(NotAllowedError, match="is a pickle"):
        result(conn, handle)
    conn.execute("UPDATE pgjobs.results SET value = 'x' WHERE job_id = %s", [handle.id])
    with pytest.raises(PayloadError, match="cannot be loaded"):
        result(conn, handle)


class configured:  # noqa: N801 (used as a function)
    """Settings for a block."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def __enter__(self) -> None:
        configure(**self._changes)

    def __exit__(self, *_: object) -> None:
        defaults = {"signing_keys": (), "allow": None, "payload": "any"}
        configure(**{name: defaults[name] for name in self._changes})


def test_a_thousand_waits_at_once_share_one_connection_and_its_looks(database_url: str, conn: Connection) -> None:
    jobs = [put_job(conn) for _ in range(1_000)]
    found: dict[int, Any] = {}

    def wait(job: int) -> None:
        found[job] = result(conn, job, timeout=60)

    threads = [threading.Thread(target=wait, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    watcher = here(conn)
    wait_until(lambda: len(watcher.waiting) == 1_000)
    before = watcher.looks
    for start in range(0, 1_000, 100):
        with conn.transaction():
            for job in jobs[start : start + 100]:
                put_result(conn, job, str(job))
            conn.execute("DELETE FROM pgjobs.jobs_live WHERE id = ANY (%s)", [jobs[start : start + 100]])
    for thread in threads:
        thread.join(60)
    assert found == {job: job for job in jobs}
    assert watcher.connections == 1
    assert watcher.looks - before < 200
    assert scalar(conn, f"SELECT count(*) {OURS}") == 1


def test_a_ring_is_what_wakes_a_wait_and_nothing_rings_without_one(
    conn: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE", 60.0)
    monkeypatch.setattr(module, "FIRST_PAUSE", 60.0)
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute('LISTEN "pgjobs:results"')
        put_result(conn, 4711)
        assert not list(listener.notifies(timeout=0.1))
        job = put_job(conn)
        done = threading.Thread(target=result, args=[conn, job], kwargs={"timeout": 30})
        done.start()
        wait_until(lambda: here(conn).looks > 0)
        time.sleep(0.1)  # it looks once more, for what came while it made the connection
        with conn.transaction():
            put_result(conn, job)
            conn.execute("DELETE FROM pgjobs.jobs_live")
        done.join(5)
        assert not done.is_alive()
        assert [notice.channel for notice in listener.notifies(timeout=1, stop_after=1)] == ["pgjobs:results"]


@pytest.mark.parametrize("pooled", [False, True])
def test_waits_outlive_the_loss_of_their_connection_and_do_without_bells(
    conn: Connection, monkeypatch: pytest.MonkeyPatch, pooled: bool
) -> None:
    if pooled:
        monkeypatch.setattr("pgjobs.db.connection.behind_pooler", lambda connection: True)
    job = put_job(conn)
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(result(conn, job, timeout=60)))
    waiting.start()
    wait_until(lambda: here(conn).looks > 0)
    for _ in range(2):
        connections = here(conn).connections
        conn.execute(f"SELECT pg_terminate_backend(pid) {OURS}")

        def is_back(before: int = connections) -> bool:
            return here(conn).connections > before

        wait_until(is_back)
    with conn.transaction():
        conn.execute("ALTER TABLE pgjobs.results DISABLE TRIGGER ALL")  # the bell is broken
        put_result(conn, job)
        conn.execute("DELETE FROM pgjobs.jobs_live")
    waiting.join(30)
    assert found == [1]


def test_every_wait_gets_its_own_answer_while_workers_are_killed(database_url: str, conn: Connection) -> None:
    handles = enqueue_many(conn, tasks.sleep.options(max_attempts=50), [(n / 10_000,) for n in range(400)])
    with work(database_url, "-q", "default:4", "--processes", "2", *QUICK) as running:
        found = {}
        for number, (handle, value) in enumerate(as_completed(conn, handles, timeout=90)):
            found[handle] = value
            if number in (20, 100, 200):
                running.kill_a_member()
    assert [found[handle] for handle in handles] == [n / 10_000 for n in range(400)]


def test_a_role_that_enqueues_and_reads_may_wait(conn: Connection, database_url: str) -> None:
    from pgjobs.db.roles import make_roles

    roles = make_roles(conn)
    job = put_job(conn, status="completed")
    put_result(conn, job)
    with conn.transaction(force_rollback=True):
        conn.execute(f'SET LOCAL ROLE "{roles.read}"')
        conn.execute("SELECT pgjobs.arm_result_bell(5)")
        assert scalar(conn, "SELECT pgjobs.result(%s)", [job]) == 1
    with conn.transaction(force_rollback=True):
        conn.execute(f'SET LOCAL ROLE "{roles.enqueue}"')
        with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
            conn.execute("SELECT * FROM pgjobs.results")


def test_a_result_comes_within_milliseconds(database_url: str, conn: Connection) -> None:
    with work(database_url):
        seconds = []
        for number in range(50):
            began = time.monotonic()
            assert result(conn, enqueue(conn, tasks.render, number), timeout=30) == Pdf(number)
            seconds.append(time.monotonic() - began)
    assert sorted(seconds)[25] < 0.2  # milliseconds on an idle machine; with polling alone it would be more


def test_the_command_line_shows_json_and_loads_no_pickle(
    database_url: str, conn: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [put_job(conn, status="completed") for _ in range(3)]
    put_result(conn, jobs[0], '{"pages":7}')
    put_result(conn, jobs[1], f'"{"x" * 2000}"')
    put_result(conn, jobs[2])
    conn.execute("UPDATE pgjobs.results SET is_json = false WHERE job_id = %s", [jobs[2]])
    conn.execute("UPDATE pgjobs.results SET kept_until = now() + interval '1 hour'")
    for job, shown in zip(jobs, ('{"pages":7}', "JSON of 2002 bytes", "a pickle of 1 bytes"), strict=True):
        assert main(["--database-url", database_url, "jobs", "show", str(job)]) == 0
        assert f"{shown} (kept until 20" in capsys.readouterr().out
    assert admin.show_job(conn, put_job(conn)).result is None
