"""Workers that serve all queues whose names match a pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue
from tests.support import tasks
from tests.support.worker import drain, scalar, wait_for, work

if TYPE_CHECKING:
    from psycopg import Connection

pytestmark = pytest.mark.in_turns(3)


def test_queues_that_match_are_served_also_those_that_come_later_and_no_others(
    database_url: str, conn: Connection
) -> None:
    enqueue(conn, tasks.nothing.options(queue="other"))
    enqueue(conn, tasks.nothing.options(queue="mail-eu"))
    done = "(SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed')"
    with work(database_url, "-q", "mail-*:3", "-q", "mail-us:2") as running:
        wait_for(conn, f"{done} = 1", log=lambda: running.output)
        enqueue(conn, tasks.nothing.options(queue="mail-asia"))
        enqueue(conn, tasks.nothing.options(queue="mail-us"))
        wait_for(conn, f"{done} = 3", log=lambda: running.output)
        assert scalar(conn, "SELECT queues FROM pgjobs.workers") == {"mail-us": 2, "mail-eu": 3, "mail-asia": 3}
        assert running.stop() == 0
    assert scalar(conn, "SELECT array_agg(queue::text) FROM pgjobs.jobs WHERE status = 'queued'") == ["other"]


def test_a_drain_of_all_queues_also_works_off_those_that_its_jobs_fill(database_url: str, conn: Connection) -> None:
    tasks.make_seen(conn)
    enqueue(conn, tasks.enqueue_another.options(queue="q0"), 3, ["q1", "q2", "q3", "q4"])
    said = drain(database_url, "-q", "*", env={tasks.URL: database_url})
    jobs = conn.execute("SELECT queue, status, error FROM pgjobs.jobs ORDER BY id").fetchall()
    assert jobs == [(queue, "completed", None) for queue in ("q0", "q4", "q3", "q2")], said


def test_a_name_that_only_sql_can_give_keeps_no_worker_from_the_other_queues(
    database_url: str, conn: Connection
) -> None:
    for queue in (" mail", "mail"):
        job = enqueue(conn, tasks.nothing).id
        conn.execute("UPDATE pgjobs.jobs_live SET queue = %s WHERE id = %s", [queue, job])
    assert "no worker serves  mail (1 job is due)" in drain(database_url, "-q", "*mail")
    jobs = conn.execute("SELECT queue, status FROM pgjobs.jobs ORDER BY id").fetchall()
    assert jobs == [(" mail", "queued"), ("mail", "completed")]


def test_a_drain_waits_for_a_retry_in_a_queue_that_it_found(database_url: str, conn: Connection) -> None:
    enqueue(conn, tasks.retry_by_request.options(queue="found", max_attempts=2), 0.3)
    assert "1 job ended, and nothing is left" in drain(database_url, "-q", "f*")
