"""What a worker says: a line for what went wrong, nothing for what went well, and whose line it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from tests.support import tasks
from tests.support.worker import wait_done, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgjobs.jobs.options import Executor
    from tests.support.postgres import Server


@dataclass
class Said:
    """What one worker wrote: about jobs that log, by executor, about one that fails, and while a hundred succeeded."""

    logged: dict[Executor, tuple[int, list[dict[str, Any]]]]
    failed: list[dict[str, Any]]
    meanwhile: str


@pytest.fixture(scope="module")
def said(server: Server) -> Iterator[Said]:
    url = server.create()
    with psycopg.connect(url, autocommit=True) as conn, work(url) as running:
        before = running.output
        enqueue_many(conn, tasks.nothing, [(n,) for n in range(100)])
        wait_done(conn, log=lambda: running.output)
        meanwhile = running.output.removeprefix(before)
        logging: dict[Executor, int] = {
            "thread": enqueue(conn, tasks.log_lines).id,
            "process": enqueue(conn, tasks.log_lines.options(executor="process")).id,
            "async": enqueue(conn, tasks.log_lines_async).id,
        }
        failing = enqueue(conn, tasks.always_fail, "no\nreason").id
        wait_done(conn, log=lambda: running.output)
        assert running.stop() == 0
        lines = {executor: (job, running.lines(logger="shop", job_id=job)) for executor, job in logging.items()}
        assert sum(len(found) for _, found in lines.values()) == len(running.lines(logger="shop"))
        yield Said(lines, running.lines(job_id=failing), meanwhile)
    server.drop(url)


@pytest.mark.parametrize("executor", ["thread", "process", "async"])
def test_every_line_of_a_job_says_which_job_it_is_of(said: Said, executor: Executor) -> None:
    number, lines = said.logged[executor]
    assert [line["event"] for line in lines] == ["from structlog", "from logging 8"]
    for line in lines:
        name = "log_lines_async" if executor == "async" else "log_lines"
        assert line["job_id"] == number
        assert line["task"] == f"tests.support.tasks:{name}"
        assert (line["queue"], line["attempt"], line["level"]) == ("default", 1, "warning")


def test_a_failed_attempt_is_one_warning_and_the_last_one_an_error(said: Said) -> None:
    lines = said.failed
    assert [(line["level"], line["attempt"]) for line in lines] == [("warning", 1), ("warning", 2), ("error", 3)]
    assert lines[0]["event"] == "attempt 1 of 3 failed, retrying in 0.0 s: ValueError: no reason"
    assert lines[2]["event"] == "failed in attempt 3 of 3, now a dead letter: ValueError: no reason"


def test_success_says_nothing(said: Said) -> None:
    assert said.meanwhile == ""


def test_the_password_of_the_database_is_never_written() -> None:
    wrong = "postgresql://someone:open-sesame@127.0.0.1:1/nowhere"
    with work(wrong, ready=False) as running:
        assert running.wait() == 1
        assert "open-sesame" not in running.output
