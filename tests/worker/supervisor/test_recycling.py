"""Processes that are replaced in time, memory that has a limit, and what a crash leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.core.errors import UsageError
from pgjobs.worker.config import WorkerConfig
from pgjobs.worker.runtime.recycling import MEGABYTE, memory_used, should_recycle
from tests.support import tasks, tasks_wear
from tests.support.rows import row_of
from tests.support.worker import drain, scalar, states, wait_for, work

if TYPE_CHECKING:
    import psycopg

    from pgjobs.jobs.options import Executor

pytestmark = pytest.mark.in_turns(3)


@pytest.mark.parametrize(
    ("jobs", "megabytes", "max_jobs", "max_memory", "reason"),
    [
        (10_000, 5_000, None, None, None),
        (99, 5_000, 100, None, None),
        (100, 5_000, 100, None, "it has run 100 jobs"),
        (5, 199, None, 200, None),
        (5, 200, None, 200, "it uses 200 MB"),
        (0, 200, None, 200, None),
    ],
)
def test_a_process_is_worn_out_by_jobs_or_memory(
    jobs: int, megabytes: int, max_jobs: int | None, max_memory: int | None, reason: str | None
) -> None:
    assert should_recycle(jobs, megabytes * MEGABYTE, max_jobs, max_memory) == reason


def test_a_job_that_replaces_what_reads_files_does_not_end_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    used = memory_used()
    monkeypatch.setattr(Path, "read_text", lambda _: "something else")
    assert memory_used() > used / 4  # the peak, in other units on some systems


@pytest.mark.parametrize("name", ["max_jobs", "max_memory", "job_memory"])
def test_limits_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name.replace("_", "-")):
        WorkerConfig.from_json(WorkerConfig("postgresql:///x").to_json().replace(f'"{name}": null', f'"{name}": 0'))


@pytest.mark.parametrize("mode", ["--drain", "work"])
def test_a_process_is_replaced_after_max_jobs_and_none_is_lost(
    database_url: str, conn: psycopg.Connection, mode: str
) -> None:
    enqueue_many(conn, tasks.nap, [(0.01,)] * 200)
    options = ["-q", "default:2", "--max-jobs", 20]
    if mode == "--drain":
        drain(database_url, *options)
    else:
        with work(database_url, *options):
            wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.jobs_live)")
    assert states(conn) == {"completed": 200}
    assert scalar(conn, "SELECT max(attempt) FROM pgjobs.jobs") == 1
    assert scalar(conn, "SELECT count(DISTINCT worker_id) FROM pgjobs.jobs") > 1


def test_a_process_is_replaced_when_it_has_too_much_memory(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url, "--max-memory", 150) as running:
        first = enqueue(conn, tasks_wear.leak, 150).id
        wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.jobs_live)")
        worker = row_of(conn, first)["worker_id"]
        wait_for(conn, f"NOT EXISTS (SELECT FROM pgjobs.workers WHERE id = {worker})")
        second = enqueue(conn, tasks.nothing).id
        wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.jobs_live)")
        assert "is then replaced" in running.output
    assert row_of(conn, second)["worker_id"] != worker


def test_a_process_job_that_wants_too_much_memory_fails_alone(database_url: str, conn: psycopg.Connection) -> None:
    greedy, modest = enqueue(conn, tasks_wear.use, 2000).id, enqueue(conn, tasks_wear.use, 1).id
    drain(database_url, "-q", "default:1", "--job-memory", 200)
    assert row_of(conn, greedy)["error"] == "MemoryError"
    assert row_of(conn, modest)["status"] == "completed"


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_crash_leaves_the_last_stack_and_the_memory(
    database_url: str, conn: psycopg.Connection, executor: Executor
) -> None:
    job = enqueue(conn, tasks_wear.read_what_is_not_there.options(executor=executor)).id
    drain(database_url)
    row = row_of(conn, job)
    assert (row["status"], "killed by SIGSEGV" in row["error"]) == ("failed", True)
    trace = row["errors"][-1]["traceback"]
    assert "MB at most" in trace
    assert "Segmentation fault" in trace
    assert "in read_what_is_not_there" in trace
