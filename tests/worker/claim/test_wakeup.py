"""How soon a job is picked up, whatever way it comes."""

from __future__ import annotations

import pickle
import statistics
import time

import psycopg
import pytest

from pgjobs import enqueue
from tests.support import tasks
from tests.support.rows import row_of
from tests.support.worker import scalar, wait_done, wait_for, work

pytestmark = pytest.mark.in_turns(3)

ARMED = "(SELECT doorbell_until > clock_timestamp() FROM pgjobs.queues WHERE name = 'default')"
LATENCY = "SELECT extract(epoch FROM started_at - run_at)::float8 FROM pgjobs.jobs WHERE id = %s"


def test_an_idle_worker_is_woken_by_the_doorbell(database_url: str, conn: psycopg.Connection) -> None:
    latencies = []
    with work(database_url) as running:
        for number in range(20):
            wait_for(conn, ARMED, log=lambda: running.output)
            time.sleep(0.02 + 0.007 * number)  # it listens, and is between two of its looks
            job = enqueue(conn, tasks.nothing).id
            wait_done(conn, log=lambda: running.output)
            latencies.append(scalar(conn, LATENCY, [job]))
    assert statistics.median(latencies) < 0.05, latencies
    assert max(latencies) < 1.5, latencies


def test_a_job_whose_transaction_was_older_than_the_doorbell_is_found_soon_after_its_commit(
    database_url: str, conn: psycopg.Connection
) -> None:
    with psycopg.connect(database_url) as early, work(database_url) as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.queues)")
        conn.execute("UPDATE pgjobs.queues SET doorbell_until = NULL")
        job = enqueue(early, tasks.nothing).id
        enqueue(conn, tasks.nothing)
        wait_done(conn, log=lambda: running.output)  # the claims have left its place behind
        wait_for(conn, ARMED)
        time.sleep(0.1)
        conn.execute("UPDATE pgjobs.queues SET doorbell_until = NULL")  # it does not ring
        early.commit()
        began = time.monotonic()
        wait_done(conn, log=lambda: running.output)
        assert time.monotonic() - began < 1.2
        assert row_of(conn, job)["status"] == "completed"


def test_late_commits_are_found_while_the_queue_is_busy(database_url: str, conn: psycopg.Connection) -> None:
    conn.execute(
        "INSERT INTO pgjobs.jobs (task, payload) SELECT 'tests:busy', %s FROM generate_series(1, 60000)",
        [pickle.dumps((tasks.nothing, (), {}))],
    )
    with psycopg.connect(database_url) as early:
        job = enqueue(early, tasks.nothing).id  # its place is at the end …
        early.execute(
            "UPDATE pgjobs.jobs SET run_at = now() - interval '1 h' WHERE id = %s", [job]
        )  # … no, at the start
        with work(database_url, "-q", "default:2") as running:
            wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_history)", log=lambda: running.output)
            early.commit()
            wait_for(conn, f"EXISTS (SELECT FROM pgjobs.jobs_history WHERE id = {job})", log=lambda: running.output)
            left = scalar(conn, "SELECT count(*) FROM pgjobs.jobs_live WHERE status = 'queued'")
            assert left > 0, "it was found only when all others were done"


def test_a_job_inserted_with_plain_sql_is_run(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url, "-q", "sql:1") as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.queues)", log=lambda: running.output)
        job = scalar(
            conn,
            "INSERT INTO pgjobs.jobs (queue, task, payload) VALUES ('sql', 'os.path:basename', %s) RETURNING id",
            [pickle.dumps((tasks.nothing, ("a/b",), {}))],
        )
        wait_done(conn, 5, log=lambda: running.output)
    assert row_of(conn, job)["status"] == "completed"


def test_a_job_for_later_is_run_when_its_time_has_come(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url) as running:
        job = enqueue(conn, tasks.healthy.options(delay=1.0), 1).id
        wait_done(conn, log=lambda: running.output)
    assert 0 <= scalar(conn, LATENCY, [job]) < 1.2
