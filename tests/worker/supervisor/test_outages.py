"""Lost connections and a crashed PostgreSQL: the worker continues, and nothing is lost."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.db import migrations as migrate
from pgjobs.embedded import embedded_server
from tests.support import tasks
from tests.support.processes import wait_until
from tests.support.refusals import writes_refused
from tests.support.rows import row_of
from tests.support.worker import QUICK, scalar, states, wait_done, wait_for, work
from tests.system.chaos.cluster import folder, make_template
from tests.system.chaos.cluster import running as running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.in_turns(3)

CUT = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'pgjobs%'
"""
IDLE = "(SELECT doorbell_until > clock_timestamp() FROM pgjobs.queues WHERE name = 'default')"


def test_an_idle_worker_connects_again(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url) as running:
        wait_for(conn, IDLE, log=lambda: running.output)
        assert scalar(conn, CUT) >= 2
        enqueue(conn, tasks.nothing)
        wait_done(conn, 8, log=lambda: running.output)
        lost = [line for line in running.lines(level="warning") if "cannot be used now" in line["event"]]
        assert 0 < len(lost) <= 4  # one line per connection
        wait_for(conn, "(SELECT now() - max(heartbeat_at) < interval '6 s' FROM pgjobs.workers)")


def test_a_busy_worker_continues_when_its_connections_are_cut(database_url: str, conn: psycopg.Connection) -> None:
    enqueue_many(conn, tasks.healthy, [(n,) for n in range(3000)])
    with work(database_url, "-q", "default:4") as running:
        for done in (100, 1000, 2000):
            wait_for(conn, f"(SELECT count(*) FROM pgjobs.jobs_history) >= {done}", log=lambda: running.output)
            scalar(conn, CUT)
        wait_done(conn, log=lambda: running.output)
    assert states(conn) == {"completed": 3000}
    assert scalar(conn, "SELECT max(attempt) FROM pgjobs.jobs") == 1


def test_what_a_claim_took_whose_answer_was_lost_is_handed_back(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url, "-q", "default:2") as running:
        wait_for(conn, IDLE, log=lambda: running.output)
        conn.execute("UPDATE pgjobs.queues SET paused = true")
        job = enqueue(conn, tasks.nothing).id
        conn.execute(
            "UPDATE pgjobs.jobs_live SET status = 'running', attempt = 1, started_at = now(), "
            "worker_id = (SELECT max(id) FROM pgjobs.workers)"
        )
        conn.execute("UPDATE pgjobs.queues SET paused = false")
        scalar(conn, CUT)
        wait_done(conn, 8, log=lambda: running.output)
    row = row_of(conn, job)
    assert (row["status"], row["attempt"], row["errors"]) == ("completed", 1, None)


def test_what_is_claimed_under_another_number_than_it_runs_is_handed_back(
    database_url: str, conn: psycopg.Connection
) -> None:
    """A failover may forget a retry and the claim after it: no worker would ever acknowledge the claim before."""
    job = enqueue(conn, tasks.nap, 1.0).id
    with work(database_url, "-q", "default:2") as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs WHERE status = 'running')", log=lambda: running.output)
        conn.execute("UPDATE pgjobs.jobs_live SET claims = claims + 6")
        scalar(conn, CUT)
        wait_done(conn, 8, log=lambda: running.output)
    assert row_of(conn, job)["status"] == "completed"


def test_a_database_that_refuses_to_write_for_a_while_is_waited_for(
    database_url: str, conn: psycopg.Connection
) -> None:
    with work(database_url) as running:
        wait_for(conn, IDLE, log=lambda: running.output)
        enqueue(conn, tasks.nothing.options(delay=1))
        with writes_refused(conn, "jobs_live"):
            time.sleep(2.0)
            assert states(conn) == {"queued": 1}
        wait_done(conn, 15, log=lambda: running.output)
        assert running.process.poll() is None


def test_a_job_outlives_an_outage_that_only_the_heart_notices(database_url: str, conn: psycopg.Connection) -> None:
    # Else its own supervisor would take the job back, from a worker that lives.
    tasks.make_seen(conn)
    with work(database_url, *QUICK, env={tasks.URL: database_url}) as running:
        wait_for(conn, IDLE, log=lambda: running.output)
        job = enqueue(conn, tasks.note, "once", 8.0).id
        wait_for(conn, "EXISTS (SELECT FROM seen)", log=lambda: running.output)
        with writes_refused(conn, "workers"):
            time.sleep(6.0)  # far longer than what makes a silent worker a dead one
        wait_done(conn, 15, log=lambda: running.output)
    assert row_of(conn, job)["attempt"] == 1
    assert scalar(conn, "SELECT count(*) FROM seen") == 1


def test_a_table_that_is_away_for_a_moment_is_waited_for(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url) as running:
        wait_for(conn, IDLE, log=lambda: running.output)
        (member,) = running.members()
        conn.execute("ALTER TABLE pgjobs.queues RENAME TO elsewhere")
        time.sleep(1.5)
        conn.execute("ALTER TABLE pgjobs.elsewhere RENAME TO queues")
        enqueue(conn, tasks.nothing)
        wait_done(conn, 10, log=lambda: running.output)
        assert running.members() == [member]


def test_nothing_is_lost_when_postgresql_crashes_under_load(embedded_directory: Path, binaries: Path) -> None:
    with embedded_server(embedded_directory, binaries=binaries) as server:
        migrate.upgrade(server.url)
        with connected(server.url) as conn:
            tasks.make_seen(conn)
            jobs = [handle.id for handle in enqueue_many(conn, tasks.healthy, [(n,) for n in range(5000)])]
        with work(server.url, "-q", "default:4", "--processes", 2) as running:
            for done in (500, 2500):
                with connected(server.url) as conn:
                    wait_for(conn, f"(SELECT count(*) FROM pgjobs.jobs_history) >= {done}", log=lambda: running.output)
                    os.kill(conn.info.backend_pid, signal.SIGKILL)  # a backend that is killed takes all others down
            with connected(server.url) as conn:
                late = enqueue(conn, tasks.nothing).id
                wait_done(conn, 30, log=lambda: running.output)
                assert states(conn) == {"completed": len(jobs) + 1}
                assert row_of(conn, late)["attempt"] == 1
                assert scalar(conn, "SELECT count(DISTINCT id) FROM pgjobs.jobs") == len(jobs) + 1


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection]:
    """Connect, once the server takes connections again. A session from before it noticed a crash does not live long."""
    deadline = time.monotonic() + 20
    while True:
        try:
            conn = psycopg.connect(url, autocommit=True)
            conn.execute("SELECT pg_sleep(0.3)")
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    try:
        yield conn
    finally:
        conn.close()


def test_after_a_failover_a_job_is_not_taken_for_the_lost_one_that_had_its_id(binaries: Path) -> None:
    """A worker that runs a job which the new server never got is replaced, and acknowledges nothing in its place."""
    with folder() as (place, account):
        cluster = make_template(binaries, place, account)
        with running_cluster(cluster), work(cluster.url, ready=False) as running:
            with cluster.connected() as conn:
                lost = enqueue(conn, tasks.nap, 6.0).id
                wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs WHERE status = 'running')", log=lambda: running.output)
                before = running.members()
                conn.execute("UPDATE pgjobs.queues SET paused = true")
                conn.execute("DELETE FROM pgjobs.jobs")
                conn.execute("SELECT setval('pgjobs.jobs_id_seq', %s, false)", [lost])
                with conn.transaction():
                    job = enqueue(conn, tasks.nothing).id
                assert job == lost
            cluster.stop("immediate")
            (cluster.data / "standby.signal").touch()
            cluster.start()
            cluster.promote()  # it continues as another history, as any standby would
            with cluster.connected() as conn:
                conn.execute("UPDATE pgjobs.queues SET paused = false")
                wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.jobs_live)", log=lambda: running.output)
                assert row_of(conn, job)["worker_id"] > 1
            wait_until(lambda: not set(before) & set(running.members()))
            assert "PostgreSQL has failed over" in running.output


def test_what_ended_during_a_failover_is_acknowledged_however_long_that_took(binaries: Path) -> None:
    """A worker process that is replaced for it has more time than the grace, because it was not asked to hurry."""
    with folder() as (place, account):
        cluster = make_template(binaries, place, account)
        options = ("-q", "default:1", "--processes", 4, "--grace", 0.5)
        with running_cluster(cluster), work(cluster.url, *options, ready=False) as running:
            with cluster.connected() as conn:
                enqueue_many(conn, tasks.nap, [(1.0,)] * 4)
                four = "(SELECT count(*) FROM pgjobs.jobs WHERE status = 'running') = 4"
                wait_for(conn, four, log=lambda: running.output)
            cluster.stop("immediate")
            (cluster.data / "standby.signal").touch()
            time.sleep(4.0)
            cluster.start()
            cluster.promote()
            with cluster.connected() as conn:
                wait_done(conn, log=lambda: running.output)
                assert states(conn) == {"completed": 4}
