"""What a supervisor tells about jobs that its workers do not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import admin, enqueue
from pgjobs.worker.supervisor.surroundings import report_left, report_unserved
from tests.support import tasks
from tests.support.rows import put_worker
from tests.support.worker import work

if TYPE_CHECKING:
    from psycopg import Connection

pytestmark = pytest.mark.in_turns(3)


def test_a_drain_names_due_jobs_of_other_queues_first_and_what_is_left_last(
    database_url: str, conn: Connection
) -> None:
    needed = enqueue(conn, tasks.always_fail.options(max_attempts=1))
    waits = enqueue(conn, tasks.nothing.options(after=[needed]))
    enqueue(conn, tasks.nothing.options(delay=3600))
    enqueue(conn, tasks.nothing.options(queue="mail"))
    with work(database_url, "--drain", ready=False) as running:
        assert running.wait(60) == 0
        first, *_, last = running.lines(logger="pgjobs.supervisor")
    assert (first["level"], first["event"]) == (
        "warning",
        "no worker serves mail (1 job is due); -q adds a queue",
    )
    assert (last["level"], last["event"]) == (
        "warning",
        f"1 job ended; left: 1 due later, 1 waiting; 1 job waits for one that did not complete: {waits.id} waits for "
        f"{needed.id} (a dead letter): replay what failed: `pgjobs dead replay {needed.id}`; or cancel what waits: "
        f"`pgjobs jobs cancel {waits.id}`",
    )


def test_a_drain_names_what_waits_in_a_queue_with_nothing_else(
    conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    needed = enqueue(conn, tasks.nothing.options(queue="other"))
    enqueue(conn, tasks.nothing.options(queue="mail", after=[needed]))
    report_left(conn, 0, lambda queue: queue == "mail")
    assert [record.getMessage() for record in caplog.records] == ["0 jobs ended; left: 1 waiting"]


def test_queues_that_other_workers_serve_are_not_named(conn: Connection, caplog: pytest.LogCaptureFixture) -> None:
    for queue in ("mail", "reports"):
        enqueue(conn, tasks.nothing.options(queue=queue))
    put_worker(conn, {"mail": 1})
    report_unserved(conn, lambda queue: False)
    assert [record.getMessage() for record in caplog.records] == [
        "no worker serves reports (1 job is due); -q adds a queue"
    ]


@pytest.mark.parametrize("options", [{}, {"sequence": "account:1"}], ids=["plain", "in a sequence"])
def test_a_drain_waits_for_a_retry_that_is_due_in_a_moment_and_counts_its_job_once(
    database_url: str, conn: Connection, options: dict[str, Any]
) -> None:
    enqueue(conn, tasks.retry_by_request.options(max_attempts=2, **options), 0.3)
    enqueue(conn, tasks.nothing.options(delay=3600))
    enqueue(conn, tasks.nothing.options(queue="mail"))
    admin.pause_queue(conn, "mail")
    with work(database_url, "--drain", "-q", "default:4", "-q", "mail:4", ready=False) as running:
        assert running.wait(60) == 0
        *_, last = running.lines(logger="pgjobs.supervisor")
    assert last["event"] == "1 job ended; left: 1 in paused queues, 1 due later"


def test_a_drain_counts_jobs_and_not_their_attempts(database_url: str, conn: Connection) -> None:
    enqueue(conn, tasks.fail_until, 3)
    enqueue(conn, tasks.always_fail)
    enqueue(conn, tasks.cancel, "not needed")
    enqueue(conn, tasks.nothing)
    with work(database_url, "--drain", ready=False) as running:
        assert running.wait(60) == 0
        *_, last = running.lines(logger="pgjobs.supervisor")
    assert last["event"] == "4 jobs ended, and nothing is left"
