"""Whatever dies, a committed job is run to an outcome, and only what ran counts an attempt."""

from __future__ import annotations

import os
import resource
import signal
import time
from datetime import datetime

import psycopg
import pytest
from psycopg import conninfo
from psycopg.errors import IdleInTransactionSessionTimeout

from pgjobs import Workflow, enqueue, enqueue_many
from pgjobs.db import connection
from pgjobs.db.connection import connect
from pgjobs.db.dependencies import settle_dependencies
from pgjobs.worker.runtime.registration import BACKEND_PATIENCE, application_name
from pgjobs.worker.supervisor.heartbeat import HeartbeatThread
from pgjobs.worker.supervisor.maintenance import MaintenanceThread
from pgjobs.worker.supervisor.rescue import rescue_silent_workers
from pgjobs.worker.supervisor.scheduler import Scheduler
from tests.support import tasks
from tests.support.processes import children, is_alive, wait_until
from tests.support.rows import count, put_job, put_worker, row_of
from tests.support.tasks_ends import end
from tests.support.worker import QUICK, Work, scalar, states, wait_done, wait_for, work
from tests.system.chaos.proxy import Proxy

pytestmark = pytest.mark.in_turns(3)


def test_when_a_worker_is_killed_only_what_ran_counts_an_attempt(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url, "-q", "default:2", env={tasks.URL: database_url}) as running:
        claimed = claim_more_than_runs(conn)
        conn.execute("UPDATE pgjobs.queues SET paused = true")
        (member,) = running.members()
        os.kill(member, signal.SIGKILL)
        wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')", log=lambda: running.output)
        rows = [row_of(conn, job) for job in claimed]
        ran, waited = rows[:2], rows[2:]
        for row in ran:
            assert (row["status"], row["attempt"], row["isolate"]) == ("queued", 1, True)
            assert row["error"] == "its worker process died while it ran: killed by SIGKILL"
            assert len(row["errors"]) == 1
        for row in waited:
            assert (row["status"], row["attempt"], row["isolate"], row["errors"]) == ("queued", 0, None, None)
        wait_until(lambda: running.members() not in ([], [member]))


def test_a_rescue_waits_for_backends_only_until_they_are_gone(database_url: str, conn: psycopg.Connection) -> None:
    silent = put_worker(conn, {"default": 9}, silent_for=60.0)
    job = put_job(conn, status="running", worker_id=silent, claims=1)
    with psycopg.connect(database_url, application_name=application_name(silent, "claim")) as left:
        began = time.monotonic()
        assert rescue_silent_workers(conn, 0.1) == 1
        assert time.monotonic() - began < BACKEND_PATIENCE / 2
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")
    assert row_of(conn, job)["status"] == "queued"


def test_a_workflow_whose_last_step_failed_with_a_silent_worker_is_to_be_looked_at(conn: psycopg.Connection) -> None:
    flow = Workflow("lost")
    step = flow.add(tasks.nap.options(max_attempts=1), 1.0)
    job = enqueue(conn, flow).job(step).id
    silent = put_worker(conn, {"default": 9}, silent_for=60.0)
    conn.execute(
        "UPDATE pgjobs.jobs SET status = 'running', claims = 1, attempt = 1, worker_id = %s WHERE id = %s",
        [silent, job],
    )
    assert rescue_silent_workers(conn, 0.1) == 1
    with conn.cursor() as cursor:
        steps: set[int] = set()
        settle_dependencies(cursor, 0, steps)
    assert steps == {job}


def test_a_job_that_kills_its_worker_every_time_becomes_a_dead_letter_and_kills_others_once(
    database_url: str, conn: psycopg.Connection
) -> None:
    poison = enqueue(conn, end.options(max_attempts=4), "SIGKILL").id
    innocents = [handle.id for handle in enqueue_many(conn, tasks.nap, [(0.05,)] * 40)]
    with work(database_url, "-q", "default:4") as running:
        hurry_until_done(conn, running)
        errors = [
            entry["error"] for entry in scalar(conn, "SELECT errors FROM pgjobs.dead_jobs WHERE id = %s", [poison])
        ]
        assert errors == [
            "its worker process died while it ran: killed by SIGKILL",
            *["its process died: killed by SIGKILL"] * 3,
        ]
        assert states(conn) == {"failed": 1, "completed": len(innocents)}
        deaths = [line for line in running.lines(logger="pgjobs.supervisor") if " died: " in line["event"]]
        assert len(deaths) == 1


def test_without_its_supervisor_a_worker_finishes_what_it_can_and_stops(
    database_url: str, conn: psycopg.Connection
) -> None:
    tasks.make_seen(conn)
    short = enqueue(conn, tasks.note, "short", 1.0).id
    long = enqueue(conn, tasks.note, "long", 600).id
    with work(database_url, *QUICK, "--grace", 2, env={tasks.URL: database_url}) as running:
        wait_for(conn, "(SELECT count(*) FROM seen) = 2", log=lambda: running.output)
        (member,) = running.members()
        running.signal(signal.SIGKILL)
        wait_until(lambda: not is_alive(member), 10)
        assert row_of(conn, short)["status"] == "completed"
        assert row_of(conn, long)["status"] == "running"  # no process could give it back after the end of this one
        assert scalar(conn, "SELECT count(*) FROM seen WHERE ended IS NOT NULL") == 1


def test_what_a_killed_supervisor_and_its_workers_ran_is_rescued_by_another(
    database_url: str, conn: psycopg.Connection
) -> None:
    tasks.make_seen(conn)
    environment = {tasks.URL: database_url}
    with (
        work(database_url, *QUICK, env=environment) as first,
        work(database_url, *QUICK, "-q", "other", env=environment),
    ):
        job = enqueue(conn, tasks.note, "rescued", 3).id  # not before: the other's start may take longer than it
        wait_for(conn, "EXISTS (SELECT FROM seen)", log=lambda: first.output)
        first.kill()
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'queued')")
        row = row_of(conn, job)
        assert row["attempt"] == 1
        assert "was not heard from for 1.5 s" in row["error"]
        assert scalar(conn, "SELECT count(*) FROM pgjobs.workers") == 1


def test_the_last_attempt_of_a_job_whose_worker_vanished_is_a_dead_letter(
    database_url: str, conn: psycopg.Connection
) -> None:
    job = enqueue(conn, tasks.nap.options(max_attempts=1), 600).id
    with work(database_url, *QUICK) as first:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')", log=lambda: first.output)
        first.kill()
    with work(database_url, *QUICK):
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.dead_jobs)")
    assert row_of(conn, job)["status"] == "failed"
    assert "was not heard from" in row_of(conn, job)["error"]


def test_a_frozen_worker_that_comes_back_loses_its_job_and_is_replaced(
    database_url: str, conn: psycopg.Connection
) -> None:
    tasks.make_seen(conn)
    environment = {tasks.URL: database_url}
    with work(database_url, *QUICK, env=environment) as frozen:
        job = enqueue(conn, tasks.note, "frozen", 1.5).id
        wait_for(conn, "EXISTS (SELECT FROM seen)", log=lambda: frozen.output)
        (member,) = frozen.members()
        for pid in (frozen.pid, member):
            os.kill(pid, signal.SIGSTOP)
        with work(database_url, *QUICK, env=environment) as other:
            wait_for(conn, "(SELECT count(*) FROM seen) = 2", log=lambda: other.output)
            os.kill(member, signal.SIGCONT)  # its answer is ready at once, while the other one runs
            wait_until(lambda: "acknowledgements dropped: 1;" in frozen.output)
            assert row_of(conn, job)["status"] == "running"
            os.kill(frozen.pid, signal.SIGCONT)
            wait_done(conn, log=lambda: other.output)
            row = row_of(conn, job)
            assert (row["status"], row["attempt"]) == ("completed", 2)
            assert row["finished_at"] - row["started_at"] > (
                scalar(conn, "SELECT interval '1.4 s'")  # it is the second run that was acknowledged
            )
            wait_until(lambda: frozen.members() not in ([], [member]))
            assert [line for line in frozen.lines() if "considered dead" in line["event"]]


def test_a_job_that_left_a_forked_process_does_not_hold_up_the_replacement_of_its_worker(
    database_url: str, conn: psycopg.Connection
) -> None:
    with work(database_url) as running:
        enqueue(conn, end, "fork and sleep")
        wait_done(conn, log=lambda: running.output)
        running.kill_a_member()
        enqueue(conn, tasks.nothing)
        wait_done(conn, 10, log=lambda: running.output)
        assert states(conn) == {"completed": 2}


def test_supervisor_that_cannot_start_a_process_tries_again(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url) as running:
        limits = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        running.kill_a_member()
        wait_until(lambda: "could not be started" in running.output)
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, limits)
        enqueue(conn, tasks.nothing)
        wait_done(conn, log=lambda: running.output)


def test_jobs_whose_worker_has_no_row_are_taken_back(database_url: str, conn: psycopg.Connection) -> None:
    job = enqueue(conn, tasks.nothing).id
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', attempt = 1, worker_id = 4711, started_at = now()")
    conn.execute("ALTER SEQUENCE pgjobs.jobs_id_seq RESTART")  # as after a move that leaves it behind
    with work(database_url) as running:
        wait_done(conn, log=lambda: running.output)
        wait_until(lambda: scalar(conn, "SELECT last_value FROM pgjobs.jobs_id_seq") > job, 5)
    row = row_of(conn, job)
    assert (row["status"], row["attempt"]) == ("completed", 2)
    assert row["errors"][0]["error"] == "its worker 4711 is no longer known"


SOON = 0.1  # seconds that the server must be up before a worker is considered dead


def test_a_supervisor_that_stands_still_while_it_rescues_is_ended_and_another_one_rescues(
    database_url: str, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection._STILL, "idle_in_transaction_session_timeout", "500")
    worker = put_worker(conn, {"default": 1}, silent_for=100)
    job = put_job(conn, status="running", attempt=1, worker_id=worker)

    def stand_still(silent: dict[int, datetime]) -> list[int]:
        assert rescue_silent_workers(conn, SOON) == 0, "the other one has them"
        time.sleep(1.5)
        return list(silent)

    with (
        pytest.raises(IdleInTransactionSessionTimeout),
        connect(database_url, answer_within=30) as still,
    ):
        rescue_silent_workers(still, SOON, choose=stand_still)
    assert row_of(conn, job)["status"] == "running"
    assert rescue_silent_workers(conn, SOON) == 1


def test_what_was_locked_when_its_worker_was_rescued_is_rescued_next_time(
    database_url: str, conn: psycopg.Connection
) -> None:
    worker = put_worker(conn, {"default": 1}, silent_for=100)
    job = put_job(conn, status="running", attempt=1, worker_id=worker)
    with psycopg.connect(database_url) as settling:
        settling.execute("SELECT FROM pgjobs.jobs_live FOR UPDATE")
        assert rescue_silent_workers(conn, SOON) == 0
        assert row_of(conn, job)["status"] == "running"
    assert rescue_silent_workers(conn, SOON) == 1
    assert row_of(conn, job)["status"] == "queued"
    assert count(conn, "workers") == 0


def test_no_worker_is_considered_dead_until_the_heartbeat_is_connected_again(
    database_url: str, conn: psycopg.Connection
) -> None:
    """The heart and the caretaker each find out for themselves that an outage is over."""
    ours, gone = put_worker(conn, {"default": 1}, silent_for=100), list[int]()
    proxy = Proxy(conn.info.port)
    through_proxy = conninfo.make_conninfo(database_url, host="127.0.0.1", port=proxy.port)
    heartbeat_thread = HeartbeatThread(through_proxy, 0.1, 0.5, lambda: [ours], gone.append)
    maintenance = MaintenanceThread(database_url, 0.1, 0.5, heartbeat_thread, Scheduler(database_url, ""))
    heard = "SELECT now() - heartbeat_at < interval '0.3 s' FROM pgjobs.workers WHERE id = %s"
    heartbeat_thread.start()
    wait_until(lambda: scalar(conn, heard, [ours]))
    maintenance.start()
    proxy.mode = "refuse"
    proxy.cut()
    time.sleep(2.0)
    assert scalar(conn, "SELECT now() - heartbeat_at > interval '1 s' FROM pgjobs.workers WHERE id = %s", [ours])
    proxy.mode = "pass"
    wait_until(lambda: scalar(conn, heard, [ours]))
    put_worker(conn, {"default": 1}, silent_for=100)
    wait_until(lambda: count(conn, "workers") == 1)  # now it may judge again
    assert scalar(conn, heard, [ours])
    assert gone == []
    maintenance.stop()
    heartbeat_thread.stop()
    maintenance.join(10)
    heartbeat_thread.join(10)
    proxy.close()


def test_when_the_servers_clock_jumps_only_silent_workers_are_considered_dead(
    database_url: str, conn: psycopg.Connection
) -> None:
    """Until the next heartbeat all workers seem silent for as long as it jumped."""
    ours, gone = put_worker(conn, {"default": 1}), list[int]()
    stranger = put_worker(conn, {"default": 1})
    leap = "UPDATE pgjobs.workers SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE id = %s"
    heartbeat_thread = HeartbeatThread(database_url, 0.2, 1.0, lambda: [ours], gone.append)
    maintenance = MaintenanceThread(database_url, 0.2, 1.0, heartbeat_thread, Scheduler(database_url, ""))
    heartbeat_thread.start()
    maintenance.start()
    for _ in range(25):
        conn.execute(leap, [ours])
        time.sleep(0.1)
    assert scalar(conn, "SELECT array_agg(id) FROM pgjobs.workers") == [ours]  # and not the stranger
    assert gone == []
    assert ours != stranger
    maintenance.stop()
    heartbeat_thread.stop()
    maintenance.join(10)
    heartbeat_thread.join(10)


def test_a_thread_that_closes_all_files_of_its_worker_becomes_a_dead_letter(
    database_url: str, conn: psycopg.Connection
) -> None:
    job = enqueue(conn, end.options(max_attempts=2), "close all files").id
    healthy = [handle.id for handle in enqueue_many(conn, tasks.nothing, [(n,) for n in range(100)])]
    with work(database_url, *QUICK, "-q", "default:1") as running:
        hurry_until_done(conn, running)
    assert row_of(conn, job)["status"] == "failed"
    assert {row_of(conn, number)["status"] for number in healthy} == {"completed"}


@pytest.mark.parametrize("code", [0, 1])
def test_a_worker_that_a_job_ends_does_not_end_the_drain(
    database_url: str, conn: psycopg.Connection, code: int
) -> None:
    enqueue(conn, end.options(max_attempts=1), f"os._exit({code})")
    enqueue_many(conn, tasks.nothing, [(n,) for n in range(50)])
    with work(database_url, "--drain", "-q", "default:1", ready=False) as running:
        assert running.wait() == 0
    assert states(conn) == {"completed": 50, "failed": 1}


def hurry_until_done(conn: psycopg.Connection, running: Work) -> None:
    """Wait until all is done, and for no backoff."""
    deadline = time.monotonic() + 30
    while count(conn, "jobs_live"):
        conn.execute("UPDATE pgjobs.jobs_live SET run_at = now() WHERE status = 'queued'")
        assert time.monotonic() < deadline, running.output
        time.sleep(0.05)


def claim_more_than_runs(conn: psycopg.Connection, seconds: float = 600) -> list[int]:
    """Have a worker of two slots claim more than it runs, because the jobs before were so short."""
    enqueue_many(conn, tasks.nothing, [(n,) for n in range(300)])
    wait_done(conn)
    tasks.make_seen(conn)
    with conn.transaction():
        jobs = [handle.id for handle in enqueue_many(conn, tasks.note, [("runs", seconds)] * 2)]
        jobs += [handle.id for handle in enqueue_many(conn, tasks.nap, [(600,)] * 10)]
    wait_for(conn, "(SELECT count(*) FROM seen) = 2")
    wait_for(conn, "(SELECT count(*) FROM pgjobs.jobs_live WHERE status = 'running') = 12", 2)
    return jobs


def test_the_process_of_a_job_dies_with_its_worker(database_url: str, conn: psycopg.Connection) -> None:
    tasks.make_seen(conn)
    enqueue(conn, tasks.note.options(executor="process"), "long", 60.0)
    with work(database_url, env={tasks.URL: database_url}) as running:
        wait_for(conn, "EXISTS (SELECT FROM seen)", log=lambda: running.output)
        (member,) = running.members()
        child = scalar(conn, "SELECT pid FROM seen")
        assert child in children(member)
        os.kill(member, signal.SIGKILL)
        wait_until(lambda: not is_alive(child), 5)
