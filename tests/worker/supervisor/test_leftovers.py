"""What jobs leave behind in their process does not hit others; and what has not started is not counted."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue
from tests.support import tasks, tasks_slow
from tests.support.processes import children, wait_until
from tests.support.rows import row_of
from tests.support.worker import drain, wait_done, work
from tests.system.chaos.misdeeds import misbehave

if TYPE_CHECKING:
    import psycopg

    from pgjobs.jobs.options import Executor

pytestmark = pytest.mark.in_turns(3)

CLOSED = "exit code 174, because a job closed files that were not its own"


@pytest.mark.parametrize("name", ["close 3 and above", "close all files"])
def test_a_worker_whose_files_a_job_closed_ends_and_says_why(
    database_url: str, conn: psycopg.Connection, name: str
) -> None:
    job = enqueue(conn, misbehave.options(max_attempts=2), name).id
    with work(database_url, "-q", "default:1") as running:
        wait_done(conn, 30, lambda: running.output)
    assert [entry["error"] for entry in row_of(conn, job)["errors"]] == [
        f"its worker process died while it ran: {CLOSED}",
        f"its process died: {CLOSED}",
    ]


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_the_log_continues_when_a_job_closed_it(
    database_url: str, conn: psycopg.Connection, executor: Executor
) -> None:
    with work(database_url, "-q", "default:1") as running:
        workers = set()
        for name, delay in (("return", 0.0), ("close 0 to 2", 0.0), ("print", 0.6)):
            job = enqueue(conn, misbehave.options(max_attempts=1, delay=delay, executor=executor), name).id
            wait_done(conn, log=lambda: running.output)
            assert row_of(conn, job)["status"] == "completed"
            workers.add(row_of(conn, job)["worker_id"])
        assert len(workers) == 1
        wait_until(lambda: "x" * 1000 in running.output)


def test_a_timer_that_a_job_in_a_thread_sets_does_not_end_the_worker(
    database_url: str, conn: psycopg.Connection
) -> None:
    jobs = [enqueue(conn, misbehave, "set an alarm").id, enqueue(conn, tasks.nap.options(max_attempts=1), 1.0).id]
    drain(database_url, "-q", "default:2")
    assert [row_of(conn, job)["status"] for job in jobs] == ["completed"] * 2


def test_what_a_job_in_a_process_does_to_signals_is_undone_for_the_next_one(
    database_url: str, conn: psycopg.Connection
) -> None:
    names = ["set an alarm", "ignore signals", "block signals", "wake no thread", "call false"]
    options = misbehave.options(executor="process", max_attempts=1)
    jobs = [enqueue(conn, options, name).id for name in names]
    jobs.append(enqueue(conn, tasks.nap.options(executor="process", max_attempts=1), 0.6).id)
    drain(database_url, "-q", "default:1")
    assert [(row_of(conn, job)["status"], row_of(conn, job)["error"]) for job in jobs] == [("completed", None)] * 6


def test_a_job_whose_process_was_still_being_started_when_the_worker_died_has_not_run(
    database_url: str, conn: psycopg.Connection
) -> None:
    job = enqueue(conn, tasks_slow.nothing).id
    with work(database_url, "-q", "default:1", "--import", "tests.support.tasks_slow") as running:
        (member,) = running.members()
        wait_until(lambda: children(member))
        os.kill(member, signal.SIGKILL)
        wait_done(conn, log=lambda: running.output)
    row = row_of(conn, job)
    assert (row["status"], row["attempt"], row["errors"]) == ("completed", 1, None)
