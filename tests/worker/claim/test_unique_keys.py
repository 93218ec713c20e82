"""Unique keys while many enqueue the same, workers run, and some are killed; and what happens to old keys."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Literal

import psycopg
import pytest

from pgjobs import Unique, enqueue, enqueue_many
from pgjobs.admin import pause_task, resume_task
from pgjobs.worker.supervisor import retention
from pgjobs.worker.supervisor.retention import Retention
from tests.support import tasks, tasks_unique
from tests.support.processes import environment
from tests.support.rows import count
from tests.support.tasks_unique import hold, hold_async, touch
from tests.support.worker import QUICK, scalar, states, wait_done, wait_for, work

pytestmark = pytest.mark.in_turns(3)

TWICE = """
    SELECT summary, count(*) FROM pgjobs.jobs WHERE status IN ('queued', 'waiting', 'running')
    GROUP BY summary HAVING count(*) > 1
"""


def test_key_never_has_two_jobs_and_enqueue_many_never_deadlocks(database_url: str, conn: psycopg.Connection) -> None:
    command = [sys.executable, "-m", tasks_unique.__name__, database_url]
    looks = 0
    with work(database_url, "-q", "default:4", "--processes", "4", *QUICK) as running:
        pipe = subprocess.PIPE
        many = [
            subprocess.Popen([*command, "25", str(seed)], env=environment(), stdout=pipe, stderr=pipe, text=True)
            for seed in range(5)
        ]
        victim = running.members()[0]
        while any(process.poll() is None for process in many):
            assert conn.execute(TWICE).fetchall() == []
            looks += 1
            if looks == 20:
                os.kill(victim, signal.SIGKILL)
                many[4].kill()
            time.sleep(0.005)
        printed = []
        for process in many:
            out, err = process.communicate()
            assert (process.returncode, err) == ((0, "") if process is not many[4] else (-signal.SIGKILL, ""))
            printed += out.split()
        wait_done(conn, log=lambda: running.output)
        assert running.stop() == 0
    assert looks > 20
    assert len(printed) == len(set(printed)) > tasks_unique.KEYS
    assert states(conn).keys() == {"completed"}
    told = scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE id = ANY (%s::bigint[])", [printed])
    assert told == len(printed), "what was told to be new is there, and has run"


UNTIL = Unique("until:{number}", until="started")
REPLACE = Unique("replace:{number}", on_conflict="replace")


def test_a_parked_job_keeps_its_key_and_runs_with_the_last_arguments(
    database_url: str, conn: psycopg.Connection
) -> None:
    pause_task(conn, "tests.support.*:hold")
    with work(database_url) as running:
        first = [enqueue(conn, hold.options(unique=key), 1, 100.0).id for key in (UNTIL, REPLACE)]
        wait_for(conn, "(SELECT count(*) = 2 FROM pgjobs.jobs_waiting WHERE held = 'task')", log=lambda: running.output)
        for version in range(3):
            again = [enqueue(conn, hold.options(unique=key), 1, version / 100).id for key in (UNTIL, REPLACE)]
            assert again == first
        conn.execute("UPDATE pgjobs.jobs SET timeout = 0.5 WHERE id = %s", [first[0]])
        resume_task(conn, "tests.support.*:hold")
        wait_for(conn, f"EXISTS (SELECT FROM pgjobs.jobs WHERE id = {first[1]} AND status = 'completed')")
    rows = conn.execute("SELECT summary FROM pgjobs.jobs WHERE id = ANY (%s) ORDER BY id", [first]).fetchall()
    assert rows == [("hold(1, 100.0)",), ("hold(1, 0.02)",)]


@pytest.mark.parametrize("executor", ["thread", "async", "process"])
def test_what_a_worker_hands_back_when_it_ends_has_started_only_if_it_ran(
    database_url: str, conn: psycopg.Connection, executor: Literal["thread", "async", "process"]
) -> None:
    slow = (hold_async if executor == "async" else hold).options(unique=UNTIL, executor=executor)
    with work(database_url, "-q", "default:2", "--grace", "0.5", env={tasks.URL: database_url}) as running:
        enqueue_many(conn, tasks.nothing, [(n,) for n in range(300)])
        wait_done(conn, log=lambda: running.output)
        tasks.make_seen(conn)
        jobs = [handle.id for handle in enqueue_many(conn, slow, [(n, 600.0) for n in range(6)])]
        wait_for(conn, "(SELECT count(*) FROM seen) = 2", log=lambda: running.output)
        wait_for(conn, "(SELECT count(*) FROM pgjobs.jobs_live WHERE claims > 0) = 6")
        assert running.stop() == 0
    rows = conn.execute("SELECT status, attempt FROM pgjobs.jobs ORDER BY id DESC LIMIT 6").fetchall()
    assert rows == [("queued", 0)] * 6
    again = [handle.id for handle in enqueue_many(conn, slow, [(n, 600.0) for n in range(6)])]
    assert [new in jobs for new in again] == [False] * 2 + [True] * 4


def test_unused_keys_are_deleted_in_steps_and_others_stay(database_url: str, conn: psycopg.Connection) -> None:
    enqueue_many(conn, touch, [(n,) for n in range(2 * retention.KEYS + 10)])
    enqueue_many(conn, touch.options(unique=Unique("started:{number}", until="started")), [(n,) for n in range(3)])
    enqueue_many(conn, touch.options(unique=Unique("held:{number}", until=3600)), [(n,) for n in range(2)])
    conn.execute("UPDATE pgjobs.jobs SET status = 'cancelled', finished_at = now() WHERE id % 2 = 0 OR id > 1013")
    with psycopg.connect(database_url) as other:
        again = enqueue(other, touch, 1)
        assert not again.conflict
        Retention().work(conn, lambda: False)
        other.commit()
    kept = "SELECT count(*) FROM pgjobs.unique_keys WHERE key LIKE %s"
    assert [scalar(conn, kept, [f"{name}:%"]) for name in ("touched", "started", "held")] == [506, 2, 2]
    assert scalar(conn, "SELECT job_id FROM pgjobs.unique_keys WHERE key = 'touched:1'") == again.id
    assert enqueue(conn, touch, 0).conflict
    conn.execute("UPDATE pgjobs.jobs SET status = 'cancelled', finished_at = now() WHERE status = 'queued'")
    conn.execute("UPDATE pgjobs.unique_keys SET held_until = now()")
    conn.execute("UPDATE pgjobs.retention SET applied_at = NULL")
    Retention().work(conn, lambda: False)
    assert count(conn, "unique_keys") == 0
