"""Jobs are cancelled while they run: within a second, once, and for good."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs import enqueue
from pgjobs.admin.cancel import cancel_jobs, wait_for_end
from tests.support import tasks_cancel as tasks
from tests.support.rows import row_of
from tests.support.worker import states, wait_done, wait_for, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.worker import Work

WITHIN = 1.0  # second


@pytest.fixture
def running(database_url: str, conn: psycopg.Connection) -> Iterator[Work]:
    conn.execute("CREATE TABLE told (job_id bigint, what text)")
    with work(database_url, "-q", "default:4") as running:
        yield running


def started(conn: psycopg.Connection, job: int, running: Work) -> None:
    """Wait until it runs, and not only is claimed."""
    wait_for(
        conn,
        f"EXISTS (SELECT FROM pgjobs.jobs_live WHERE id = {job} AND status = 'running')",
        log=lambda: running.output,
    )
    time.sleep(0.2)


@pytest.mark.parametrize(
    ("name", "force", "status"),
    [
        ("sleeps", False, "cancelled"),
        ("looks", False, "cancelled"),
        ("never_looks", True, "cancelled"),
        ("tidies_up", True, "cancelled"),
        ("hangs", False, "cancelled"),
    ],
)
def test_what_runs_ends_within_a_second_and_is_not_retried(
    conn: psycopg.Connection, running: Work, name: str, force: bool, status: str
) -> None:
    job = enqueue(conn, getattr(tasks, name)).id
    started(conn, job, running)
    if name == "hangs":
        time.sleep(0.5)  # its process comes up
    began = time.monotonic()
    change = cancel_jobs(conn, [job], force=force)
    assert (change.done, change.asked, change.refused) == ((), (job,), ())
    assert wait_for_end(conn, [job], 10) == ()
    assert time.monotonic() - began < WITHIN
    row = row_of(conn, job)
    assert (row["status"], row["error"], row["attempt"]) == (status, "cancelled by an operator", 1)
    if name == "tidies_up":
        assert conn.execute("SELECT what FROM told").fetchall() == [("tidied",)]
    assert enqueue(conn, tasks.quick)
    wait_done(conn, log=lambda: running.output)  # the slot and the thread are of use
    assert states(conn) == {"cancelled": 1, "completed": 1}
