"""A queue may keep nothing of what completes; other outcomes of its jobs are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs import enqueue, enqueue_many
from pgjobs.admin import keep_completed
from pgjobs.db.connection import connect_hot
from pgjobs.worker.runtime.completing import complete
from tests.support import tasks
from tests.support.processes import wait_until
from tests.support.rows import count, put_job, row_of
from tests.support.tasks_ends import end
from tests.support.worker import drain, states, wait_done, work

if TYPE_CHECKING:
    from psycopg import Connection


def test_completed_jobs_of_a_queue_that_keeps_nothing_are_gone_and_all_others_are_there(
    database_url: str, conn: Connection
) -> None:
    keep_completed(conn, "brief", False)
    enqueue_many(conn, tasks.nothing.options(queue="brief"), [(n,) for n in range(300)])
    kept = [handle.id for handle in enqueue_many(conn, tasks.nothing, [(n,) for n in range(30)])]
    failed = enqueue(conn, end.options(queue="brief", max_attempts=1), "raise").id
    cancelled = enqueue(conn, end.options(queue="brief"), "cancel").id
    later = enqueue(conn, tasks.retry_by_request.options(queue="brief", max_attempts=2), 600.0).id
    drain(database_url, "-q", "brief:4", "-q", "default:4")
    assert states(conn) == {"completed": len(kept), "failed": 1, "cancelled": 1, "queued": 1}
    assert row_of(conn, failed)["status"] == "failed"
    assert row_of(conn, cancelled)["status"] == "cancelled"
    assert row_of(conn, later)["attempt"] == 1
    assert conn.execute("SELECT id FROM pgjobs.dead_jobs").fetchall() == [(failed,)]


def test_a_change_is_followed_within_seconds_by_workers_that_run(database_url: str, conn: Connection) -> None:
    with work(database_url) as running:
        for keep in (False, True):
            keep_completed(conn, "default", keep)

            def is_followed(keep: bool = keep) -> bool:
                before = count(conn, "jobs_history")
                enqueue(conn, tasks.nothing, 1)
                wait_done(conn, log=lambda: running.output)
                return (count(conn, "jobs_history") > before) is keep

            wait_until(is_followed, 5)


def test_an_answer_that_is_not_of_this_claim_deletes_nothing(database_url: str, conn: Connection) -> None:
    job = put_job(conn, status="running", worker_id=7, claims=3)
    queued = put_job(conn, worker_id=7, claims=3)
    with connect_hot(database_url, application_name="late") as connection, connection.cursor() as cursor:
        for worker, claim in ((8, 3), (7, 2), (7, 4)):
            assert complete(cursor, worker, [job, queued, 4711], [claim] * 3, keep=False) == [job, queued, 4711]
            assert row_of(conn, job)["status"] == "running"
        assert complete(cursor, 7, [job, queued], [3, 3], keep=False) == [queued]
    assert [row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs")] == [queued]
