"""Jobs for later start when they are due, also on a worker that has nothing else to do."""

from __future__ import annotations

import os
import time

import psycopg
import pytest

from pgjobs import enqueue
from tests.support import tasks, tasks_time
from tests.support.rows import row_of
from tests.support.worker import drain, scalar, wait_done, wait_for, work

pytestmark = pytest.mark.in_turns(3)

LATENESS = "SELECT extract(epoch FROM started_at - run_at)::float8 FROM pgjobs.jobs WHERE id = %s"
ON_TIME = 0.15  # seconds: an idle worker looks by itself after 0.45 to 0.9 s


def test_jobs_with_a_delay_start_when_they_are_due_on_an_idle_worker(
    database_url: str, conn: psycopg.Connection
) -> None:
    with work(database_url) as running:
        time.sleep(1.0)  # the doorbell is armed, and the producer waits on it
        jobs = []
        for delay in (0.3, 0.5, 0.75, 1.3, 1.9, 2.3, 2.4):
            jobs.append(enqueue(conn, tasks.nothing.options(delay=delay)).id)
            time.sleep(0.11)
        wait_done(conn, log=lambda: running.output)
        lateness = sorted(scalar(conn, LATENESS, [job]) for job in jobs)
    assert lateness[0] >= 0
    assert lateness[-2] < ON_TIME, lateness  # one may be late on a machine that is busy with other things


def test_a_retry_starts_when_it_is_due_on_an_idle_worker(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url) as running:
        lateness = []
        for pause in (0.0, 0.2, 0.5):
            time.sleep(1.0 + pause)
            job = enqueue(conn, tasks_time.once_more_soon).id
            wait_done(conn, log=lambda: running.output)
            lateness.append(scalar(conn, LATENESS, [job]))
    assert sorted(lateness)[1] < ON_TIME, lateness


def test_a_resumed_queue_continues_at_once(database_url: str, conn: psycopg.Connection) -> None:
    from pgjobs import admin

    times = []
    with work(database_url) as running:
        for _ in range(3):
            admin.pause_queue(conn, "default")
            enqueue(conn, tasks.nothing)
            time.sleep(1.2)
            wait_for(conn, "(SELECT doorbell_until > clock_timestamp() FROM pgjobs.queues)", log=lambda: running.output)
            admin.resume_queue(conn, "default")
            began = time.monotonic()
            wait_done(conn, log=lambda: running.output)
            times.append(time.monotonic() - began)
    assert sorted(times)[1] < 0.3, times


def test_the_retry_policy_of_a_job_counts_when_its_process_is_killed_at_its_timeout(
    database_url: str, conn: psycopg.Connection
) -> None:
    job = enqueue(conn, tasks_time.not_worth_waiting_for).id
    drain(database_url)
    row = row_of(conn, job)
    assert (row["status"], row["attempt"]) == ("failed", 1)
    assert row["error"] == "JobTimeout: ran longer than its 1 s, and was killed"


def test_settings_in_a_job_name_the_workers_database(database_url: str, conn: psycopg.Connection) -> None:
    assert "PGJOBS_DATABASE_URL" not in os.environ
    jobs = [
        enqueue(conn, tasks_time.uses_the_workers_database).id,
        enqueue(conn, tasks_time.uses_the_workers_database_in_a_child).id,
    ]
    drain(database_url)
    assert [(row_of(conn, job)["status"], row_of(conn, job)["error"]) for job in jobs] == [("completed", None)] * 2
