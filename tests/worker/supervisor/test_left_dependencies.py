"""Jobs that a worker of an earlier version has ended without letting go those that wait, and dependencies of no job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import psycopg
import pytest

from pgjobs import JobHandle, enqueue
from pgjobs.admin import cancel_jobs, retry_jobs
from pgjobs.db.dependencies import BEGINNING, settle_dependencies, sweep_dependencies
from pgjobs.db.statements import statement
from tests.support import tasks
from tests.support.functions import add
from tests.support.rows import count, put_dead, put_job, row_of
from tests.support.worker import scalar, wait_for, work

IfFailed: TypeAlias = Literal["wait", "run", "cancel"]


def sweep(conn: psycopg.Connection, batch: int = 1000) -> int:
    """Go through all dependencies, and return for how many ended jobs others were released."""
    after, total = BEGINNING, 0
    while True:
        following, found = sweep_dependencies(conn, after, batch)
        total += found
        if following is None:
            return total
        assert following > after
        after = following


def end_as_before(conn: psycopg.Connection, handle: JobHandle[Any], status: str) -> None:
    """End a job with no thought of others, as a version without dependencies does."""
    conn.execute("UPDATE pgjobs.jobs SET status = %s, finished_at = now() WHERE id = %s", [status, handle.id])


def chain(conn: psycopg.Connection, if_failed: IfFailed = "wait") -> tuple[JobHandle[Any], JobHandle[Any]]:
    with conn.transaction():
        needed = enqueue(conn, add, 1)
        return needed, enqueue(conn, add.options(after=[needed], if_failed=if_failed), 2)


def status(conn: psycopg.Connection, handle: JobHandle[Any]) -> str:
    found: str = row_of(conn, handle.id)["status"]
    return found


@pytest.mark.parametrize(
    ("ends", "if_failed", "then"),
    [
        *(("completed", if_failed, "queued") for if_failed in ("wait", "run", "cancel")),
        *((ends, "wait", "waiting") for ends in ("failed", "cancelled")),
        *((ends, "run", "queued") for ends in ("failed", "cancelled")),
        *((ends, "cancel", "cancelled") for ends in ("failed", "cancelled")),
    ],
)
def test_what_waits_for_a_job_that_has_ended_does_what_it_said(
    conn: psycopg.Connection, ends: str, if_failed: IfFailed, then: str
) -> None:
    needed, last = chain(conn, if_failed)
    end_as_before(conn, needed, ends)
    assert sweep(conn) == (then != "waiting")
    assert status(conn, last) == then
    assert count(conn, "dependencies") == (then == "waiting")
    assert sweep(conn) == 0


def test_a_worker_that_starts_releases_what_an_earlier_one_left(database_url: str, conn: psycopg.Connection) -> None:
    pairs = []
    for _ in range(3):
        with conn.transaction():
            needed = enqueue(conn, tasks.nothing, 1)
            pairs.append((needed, enqueue(conn, tasks.nothing.options(after=[needed]), 2)))
    for needed, _ in pairs:
        end_as_before(conn, needed, "completed")
    with work(database_url) as running:
        wait_for(conn, "(SELECT count(*) = 6 FROM pgjobs.jobs WHERE status = 'completed')", log=lambda: running.output)
        assert "released what waited for 3 jobs" in running.output
    assert count(conn, "dependencies") == 0


def test_jobs_that_are_there_and_dead_letters_are_waited_for_on(conn: psycopg.Connection) -> None:
    needed, last = chain(conn, "run")
    running, behind = chain(conn)
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', worker_id = 1 WHERE id = %s", [running.id])
    lost, stays = chain(conn)
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [lost.id])  # failed, discarded, and its day dropped
    assert sweep(conn) == 0
    assert [status(conn, each) for each in (needed, last, behind, stays)] == ["queued", *["waiting"] * 3]
    assert count(conn, "dependencies") == 3


def test_all_of_many_are_found_in_batches(conn: psycopg.Connection) -> None:
    with conn.transaction():
        needed = [enqueue(conn, add, n) for n in range(7)]
        last = [enqueue(conn, add.options(after=needed), n) for n in range(5)]
    for each in needed:
        end_as_before(conn, each, "completed")
    assert sweep(conn, batch=3) == 7
    assert [status(conn, each) for each in last] == ["queued"] * 5
    assert count(conn, "dependencies") == 0


def test_a_locked_row_is_left_for_the_next_time(database_url: str, conn: psycopg.Connection) -> None:
    needed, last = chain(conn)
    end_as_before(conn, needed, "completed")
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM pgjobs.jobs WHERE id = %s FOR UPDATE", [last.id])
        sweep(conn)
        assert status(conn, last) == "waiting"
    with conn.transaction(), conn.cursor() as cursor:
        settle_dependencies(cursor)
    assert status(conn, last) == "queued"


def forget(conn: psycopg.Connection, handle: JobHandle[Any]) -> None:
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [handle.id])
    conn.execute("DELETE FROM pgjobs.dead_jobs WHERE id = %s", [handle.id])


def cancel(conn: psycopg.Connection, handle: JobHandle[Any]) -> None:
    assert cancel_jobs(conn, [handle.id]).done == (handle.id,)


@pytest.mark.parametrize("left", [forget, cancel], ids=["gone", "cancelled, and in history"])
def test_dependencies_of_jobs_that_are_gone_go_and_those_of_others_stay(
    conn: psycopg.Connection, left: Callable[[psycopg.Connection, JobHandle[Any]], None]
) -> None:
    needed, last = chain(conn)
    _, other = chain(conn)
    left(conn, last)
    sweep(conn)
    kept = [row[0] for row in conn.execute("SELECT job_id FROM pgjobs.dependencies ORDER BY job_id").fetchall()]
    assert kept == ([other.id] if left is forget else [last.id, other.id])
    if left is cancel:  # it would wait again
        assert retry_jobs(conn, [last.id]).done == (last.id,)
        assert (row_of(conn, last.id)["held"], row_of(conn, last.id)["needs"]) == ("needs", 1)
        forget(conn, last)
        sweep(conn)
        assert scalar(conn, "SELECT count(*) FROM pgjobs.dependencies WHERE needs_id = %s", [needed.id]) == 0


def test_a_job_that_is_anywhere_at_the_second_look_keeps_its_dependencies(conn: psycopg.Connection) -> None:
    """At the first one it may have been on its way from table to table."""
    jobs = [
        put_job(conn),
        put_job(conn, status="running", worker_id=1),
        put_job(conn, status="waiting", held="needs", needs=1),
        put_job(conn, status="cancelled"),
        put_dead(conn),
    ]
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [jobs[-1]])  # its letter is left
    for job in (*jobs, 4711):
        conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (1000, %s)", [job])
    given = {"needs_ids": [1000] * 6, "job_ids": [*jobs, 4711]}
    assert conn.execute(statement("purge_dependencies"), given).rowcount == 1
    assert count(conn, "dependencies") == 5
