"""Commands and workers that are started without standard files, or with full ones."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue
from tests.support.rows import row_of
from tests.support.tasks import nothing

if TYPE_CHECKING:
    import psycopg


def shell(environment: dict[str, str], words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m pgjobs {words}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", "2>/dev/full >/dev/full"])
def test_a_worker_without_standard_files_works(
    environment: dict[str, str], conn: psycopg.Connection, database_url: str, redirection: str
) -> None:
    environment["PGJOBS_DATABASE_URL"] = database_url
    jobs = [enqueue(conn, nothing), enqueue(conn, nothing.options(executor="process"))]
    assert shell(environment, f"work --drain {redirection}").returncode == 0
    assert [row_of(conn, job.id)["status"] for job in jobs] == ["completed"] * 2


@pytest.mark.parametrize("redirection", [">&-", "2>&-"])
def test_a_command_without_standard_files_works(
    environment: dict[str, str], database_url: str, redirection: str
) -> None:
    environment["PGJOBS_DATABASE_URL"] = database_url
    done = shell(environment, f"status --json {redirection}")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_whose_output_has_no_room_says_so_in_one_line(environment: dict[str, str], database_url: str) -> None:
    environment["PGJOBS_DATABASE_URL"] = database_url
    done = shell(environment, "status --json >/dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["pgjobs: [Errno 28] No space left on device"]
