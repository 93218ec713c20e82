from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pgjobs.enqueueing import enqueue_many
from tests.support.rows import count, row_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from tests.cli.conftest import Result

    Command = Callable[..., Result]


def test_drain_runs_what_is_due_and_exits(command: Command, conn: Connection, database_url: str) -> None:
    enqueue_many(conn, abs, [(n,) for n in range(50)])
    result = command("work", "-q", "default:4", "--drain", url=database_url)
    assert (result.code, result.out) == (0, "")
    assert count(conn, "jobs_live") == 0
    assert conn.execute("SELECT DISTINCT status FROM pgjobs.jobs").fetchall() == [("completed",)]


def test_logs_are_json_lines_where_there_is_no_terminal(command: Command, conn: Connection, database_url: str) -> None:
    enqueue_many(conn, len, [(5,)])  # an int has none: the job fails, and is retried later
    result = command("work", "--drain", url=database_url)
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert any("default:10" in line["event"] for line in lines)
    retried = next(line for line in lines if "job_id" in line)
    assert (retried["task"], retried["queue"], retried["attempt"]) == ("builtins:len", "default", 1)


def test_work_with_missing_module_is_one_line(command: Command, database_url: str) -> None:
    result = command("work", "--import", "no_such_module", "--drain", "--log-level", "error", url=database_url)
    assert result.code == 1
    assert "no_such_module" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


def test_work_on_tables_that_are_not_there_says_what_to_run(command: Command, empty_database_url: str) -> None:
    result = command("work", "--drain", url=empty_database_url)
    assert result.code == 1
    assert "run `pgjobs migrate`" in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize("ready", [True, False], ids=["while it works", "while it starts"])
def test_a_signal_ends_work_with_0(
    environment: dict[str, str], conn: Connection, database_url: str, ready: bool
) -> None:
    environment["PGJOBS_DATABASE_URL"] = database_url
    (job,) = enqueue_many(conn, abs, [(1,)])
    with subprocess.Popen([sys.executable, "-m", "pgjobs", "work"], env=environment, stderr=subprocess.PIPE) as worker:
        try:
            assert worker.stderr is not None
            while b"default:10" not in worker.stderr.readline():
                assert worker.poll() is None
            while ready and row_of(conn, job.id)["status"] != "completed":
                time.sleep(0.02)
            worker.send_signal(signal.SIGTERM)
            worker.communicate(timeout=20)
        finally:
            worker.kill()
    assert worker.returncode == 0
