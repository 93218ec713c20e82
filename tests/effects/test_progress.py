"""Progress: reported by jobs, read by others, and where the next attempt continues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pgjobs import Progress, configure, enqueue, progress
from pgjobs.db.statements import statement
from pgjobs.effects.progress import ProgressWriter
from tests.support import postgres, tasks_effects
from tests.support.claimed import claimed_job
from tests.support.rows import put_dead, put_job, put_worker, row_of
from tests.support.tasks import URL
from tests.support.worker import wait_for, work


@pytest.fixture(scope="module")
def shared_url(server: postgres.Server) -> Iterator[str]:
    """A database with a worker, for all tests here that need one."""
    url = server.take()
    with work(url, "-q", "default:4", "--processes", "1", "--import", "tests.support.tasks_effects", env={URL: url}):
        yield url
    server.give_back(url)


@pytest.fixture
def shared(shared_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shared_url, autocommit=True) as connection:
        yield connection


def last_of(conn: psycopg.Connection, job: Any) -> Progress:
    wait_for(conn, f"EXISTS (SELECT FROM pgjobs.progress WHERE job_id = {job.id} AND message LIKE 'began%')")
    found = progress(conn, job)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["report", "report_in_child"])
def test_a_job_says_how_far_it_has_come(shared: psycopg.Connection, name: str) -> None:
    job = enqueue(shared, getattr(tasks_effects, name))
    found = last_of(shared, job)
    assert (found.done, found.total, found.message, found.state) == (100, 100, "began at 0", {"page": 100})


def test_the_next_attempt_continues_where_the_last_one_stopped(shared: psycopg.Connection) -> None:
    job = enqueue(shared, tasks_effects.report, "fails")
    assert last_of(shared, job).message == "began at 50"
    assert row_of(shared, job.id)["attempt"] == 2


@pytest.mark.parametrize(
    ("value", "words"), [({1, 2}, "JSON does not have it"), ("x" * 70_000, "70,002 bytes"), ("\0", "U\\+0000")]
)
def test_a_state_that_cannot_be_kept_is_an_error_of_the_attempt(
    shared: psycopg.Connection, value: object, words: str
) -> None:
    job = enqueue(shared, tasks_effects.report_nonsense, value)
    wait_for(shared, f"(SELECT status = 'failed' FROM pgjobs.jobs WHERE id = {job.id})")
    assert words.replace("\\", "") in row_of(shared, job.id)["error"]


# -- What is written ---------------------------------------------------------------------------------------------------


def write(conn: psycopg.Connection, job: int, claim: int, done: float | None, message: str | None = None) -> None:
    values = {"ids": [job], "claim_numbers": [claim], "dones": [done], "totals": [None]}
    conn.execute(statement("write_progress"), {**values, "messages": [message], "states": [None]})


def test_an_attempt_that_was_taken_back_overwrites_nothing(conn: psycopg.Connection) -> None:
    job = put_job(conn, status="running", worker_id=put_worker(conn, {"default": 1}), claims=2)
    write(conn, job, 2, 10)
    write(conn, job, 1, 5)
    found = progress(conn, job)
    assert found is not None
    assert found.done == 10


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProgressWriter]:
    """A writer that writes when it is told to: its thread would do the same at any moment."""
    monkeypatch.setattr(ProgressWriter, "_write_soon", lambda _: None)
    made = ProgressWriter()
    yield made
    if made._connection is not None:
        made._connection.close()


def test_progress_that_is_refused_stops_no_others(
    conn: psycopg.Connection, database_url: str, writer: ProgressWriter, caplog: pytest.LogCaptureFixture
) -> None:
    configure(database_url=database_url)
    good, bad = put_job(conn), put_job(conn)
    writer.report(claimed_job(bad, 0), 1, 2, "x", {"half": "\ud800"})
    writer.report(claimed_job(good, 0), 1, 2, "x", None)
    writer.flush()
    assert progress(conn, good) is not None
    assert progress(conn, bad) is None
    assert f"job {bad}: PostgreSQL refuses its progress" in caplog.text
    writer.report(claimed_job(good, 0), 2, 2, None, None)
    writer.flush()
    found = progress(conn, good)
    assert found is not None
    assert (found.done, found.message) == (2, "x")


def test_progress_is_kept_while_the_database_cannot_be_reached(
    conn: psycopg.Connection, database_url: str, writer: ProgressWriter, caplog: pytest.LogCaptureFixture
) -> None:
    configure(database_url="postgresql://127.0.0.1:1/nowhere")
    job = put_job(conn)
    writer.report(claimed_job(job, 0), 1, 2, "one", None)
    writer.report_wait(claimed_job(job, 0), [7])
    writer.flush()
    writer.report(claimed_job(job, 0), 2, None, None, None)
    assert "progress of 1 jobs is not written yet" in caplog.text
    configure(database_url=database_url)
    writer.flush()
    found = progress(conn, job)
    assert found is not None
    assert (found.done, found.total, found.message) == (2, 2, "one")


def test_what_is_not_said_stays_as_it_was(conn: psycopg.Connection) -> None:
    job = put_job(conn)
    write(conn, job, 0, 10, "ten")
    write(conn, job, 0, None, "more")
    write(conn, job, 0, 11)
    found = progress(conn, job)
    assert found is not None
    assert (found.done, found.message) == (11, "more")
    assert progress(conn, put_job(conn)) is None


def test_old_progress_goes_but_not_that_of_jobs_that_may_run_again(conn: psycopg.Connection) -> None:
    ended = put_job(conn, status="completed", finished_at="2020-01-01")
    kept = [put_job(conn), put_job(conn, status="waiting", lane="a\x1f\x1f\x1f"), put_dead(conn)]
    for job in (ended, *kept):
        write(conn, job, 0, 1)
    conn.execute(statement("purge_progress"), {"batch": 10})
    assert progress(conn, ended) is not None  # of the last day
    conn.execute("UPDATE pgjobs.progress SET updated_at = now() - interval '25 hours'")
    conn.execute(statement("purge_progress"), {"batch": 10})
    rows = conn.execute("SELECT job_id FROM pgjobs.progress ORDER BY 1").fetchall()
    assert [row[0] for row in rows] == sorted(kept)
