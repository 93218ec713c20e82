"""What a worker says: a line for what went wrong, nothing for what went well, and whose line it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue, enqueue_many
from tests.support import tasks
from tests.support.worker import wait_done, work

if TYPE_CHECKING:
    import psycopg

    from pgjobs.jobs.options import Executor


@pytest.mark.parametrize("executor", ["thread", "process", "async"])
def test_every_line_of_a_job_says_which_job_it_is_of(
    database_url: str, conn: psycopg.Connection, executor: Executor
) -> None:
    job = tasks.log_lines_async if executor == "async" else tasks.log_lines.options(executor=executor)
    number = enqueue(conn, job).id
    with work(database_url) as running:
        wait_done(conn, log=lambda: running.output)
        assert running.stop() == 0
        lines = running.lines(logger="shop")
    assert [line["event"] for line in lines] == ["from structlog", "from logging 8"]
    for line in lines:
        name = "log_lines_async" if executor == "async" else "log_lines"
        assert line["job_id"] == number
        assert line["task"] == f"tests.support.tasks:{name}"
        assert (line["queue"], line["attempt"], line["level"]) == ("default", 1, "warning")


def test_a_failed_attempt_is_one_warning_and_the_last_one_an_error(database_url: str, conn: psycopg.Connection) -> None:
    number = enqueue(conn, tasks.always_fail, "no\nreason").id
    with work(database_url) as running:
        wait_done(conn, log=lambda: running.output)
        assert running.stop() == 0
        lines = running.lines(job_id=number)
    assert [(line["level"], line["attempt"]) for line in lines] == [("warning", 1), ("warning", 2), ("error", 3)]
    assert lines[0]["event"] == "attempt 1 of 3 failed, retrying in 0.0 s: ValueError: no reason"
    assert lines[2]["event"] == "failed in attempt 3 of 3, now a dead letter: ValueError: no reason"


def test_success_says_nothing(database_url: str, conn: psycopg.Connection) -> None:
    enqueue_many(conn, tasks.nothing, [(n,) for n in range(100)])
    with work(database_url) as running:
        before = running.output
        wait_done(conn, log=lambda: running.output)
        assert running.output == before


def test_the_password_of_the_database_is_never_written(database_url: str, conn: psycopg.Connection) -> None:
    wrong = "postgresql://someone:open-sesame@127.0.0.1:1/nowhere"
    with work(wrong, ready=False) as running:
        assert running.wait() == 1
        assert "open-sesame" not in running.output
