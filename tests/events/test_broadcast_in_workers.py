"""Broadcasts in real workers: whatever they are busy with, and however they end."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from pgjobs import BroadcastError, broadcast, enqueue, results
from pgjobs.admin import show_broadcast
from pgjobs.worker.supervisor.cancel_listener import LOOK_FOR
from tests.events import calls
from tests.support.worker import QUICK, drain, wait_for, work

if TYPE_CHECKING:
    import psycopg

pytestmark = pytest.mark.in_turns(3)

BUSY = ("-q", "threads:1", "-q", "children:1", "-q", "loop:1")


def test_full_workers_run_it_and_one_that_is_killed_is_accounted_for(
    conn: psycopg.Connection, database_url: str
) -> None:
    conn.execute(calls.CALLED)
    env = {"TASKS_DATABASE_URL": database_url}
    with work(database_url, *BUSY, "--processes", 2, *QUICK, env=env) as running:
        for job in (calls.busy, calls.busy_child, calls.busy_loop) * 2:
            enqueue(conn, job)
        wait_for(conn, "(SELECT count(*) FROM called) = 6")
        processes = running.members()
        made = broadcast(conn, calls.pid)
        assert sorted(results(conn, made, timeout=10)) == sorted(processes)
        assert set(results(conn, broadcast(conn, calls.pid, on="hosts"), timeout=10)) < set(processes)
        assert len(results(conn, broadcast(conn, calls.pid, on="queue:loop"), timeout=10)) == 2
        # What did not ring comes with a heartbeat.
        time.sleep(LOOK_FOR)
        conn.execute("UPDATE pgjobs.broadcast_runs SET state = 'queued' WHERE broadcast_id = %s", [made.id])
        assert sorted(results(conn, made, timeout=10)) == sorted(processes)

        hangs = broadcast(conn, calls.waits, "hangs", on="queue:threads")
        behind = broadcast(conn, calls.pid, late="skip")
        wait_for(conn, "(SELECT count(*) FROM called WHERE what = 'hangs') = 2")
        os.kill(processes[0], signal.SIGKILL)
        wait_for(conn, "(SELECT count(*) FROM called WHERE what = 'hangs') = 3")  # the one that took its place
        runs = {run.pid: run for run in show_broadcast(conn, hangs).runs}
        assert [run.state for run in runs.values()].count("running") == 2
        assert runs[processes[0]].state == "gone"
        assert {run.pid: run.state for run in show_broadcast(conn, behind).runs} == {
            processes[0]: "gone",
            processes[1]: "queued",
        }
        running.kill()
    with work(database_url, "-q", "idle:1", *QUICK):
        (error, _) = results(conn, behind, timeout=20, return_errors=True)
        assert isinstance(error, BroadcastError)
        wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.broadcast_runs WHERE state IN ('queued', 'running'))")
    assert show_broadcast(conn, hangs).gone == 3


def test_a_worker_that_only_drains_runs_what_is_open(conn: psycopg.Connection, database_url: str) -> None:
    open_, skipped = broadcast(conn, calls.pid), broadcast(conn, calls.pid, late="skip")
    output = drain(database_url, "-q", "default:1")
    assert (show_broadcast(conn, open_).completed, show_broadcast(conn, skipped).runs) == (1, [])
    assert f"broadcast {open_.id}, tests.events.calls:pid, completed" in output


def test_one_that_does_not_stop_has_its_process_replaced(conn: psycopg.Connection, database_url: str) -> None:
    with work(database_url, "-q", "default:1", "--processes", 1, *QUICK) as running:
        (before,) = running.members()
        made = broadcast(conn, calls.never_stops, late="skip")
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.broadcast_runs WHERE state = 'gone')", 30, lambda: running.output)
        assert before not in running.members()
        (run,) = show_broadcast(conn, made).runs
        assert run.error == "its worker process ended while it ran"


def test_a_process_that_is_asked_to_end_finishes_what_it_runs(conn: psycopg.Connection, database_url: str) -> None:
    conn.execute(calls.CALLED)
    rarely = ("--heartbeat", 60, "--rescue-after", 180)
    with work(database_url, "-q", "default:1", *rarely, env={"TASKS_DATABASE_URL": database_url}) as running:
        made = broadcast(conn, calls.takes, "slow", 1.0)
        wait_for(conn, "EXISTS (SELECT FROM called WHERE what = 'slow')")  # by the ring: no heartbeat comes so soon
        behind = broadcast(conn, calls.pid)
        assert running.stop() == 0
        assert show_broadcast(conn, made).completed == 1
        assert show_broadcast(conn, behind).gone == 1
