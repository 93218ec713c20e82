"""What has not started is not counted."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from pgjobs import enqueue
from tests.support import tasks_slow
from tests.support.processes import children, wait_until
from tests.support.rows import row_of
from tests.support.worker import wait_done, work

if TYPE_CHECKING:
    import psycopg


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
