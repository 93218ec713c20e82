"""Unique keys while many enqueue the same, workers run, and some are killed; and what happens to old keys."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psycopg

from pgjobs import Unique, enqueue, enqueue_many
from pgjobs.worker.supervisor import retention
from pgjobs.worker.supervisor.retention import Retention
from tests.support import tasks_unique
from tests.support.processes import environment
from tests.support.rows import count
from tests.support.tasks_unique import touch
from tests.support.worker import QUICK, scalar, states, wait_done, work

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
