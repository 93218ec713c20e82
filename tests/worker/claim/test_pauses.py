"""Tasks, and everything, are paused and resumed while workers work."""

from __future__ import annotations

import random
import threading
import time

import psycopg

from pgjobs import enqueue, enqueue_many
from pgjobs.admin import pause_everything, pause_task, resume_everything, resume_task, wait_until_idle
from pgjobs.db.parked import requeue_parked
from pgjobs.jobs.outcome import Parked
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import settle
from tests.support import tasks_cancel as tasks
from tests.support.rows import row_of
from tests.support.worker import QUICK, scalar, states, wait_done, wait_for, work

TASK = "tests.support.tasks_cancel:quick"
FOLLOWS_WITHIN = 1.0  # second


def parked(conn: psycopg.Connection) -> int:
    count: int = scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE status = 'waiting' AND held = 'task'")
    return count


def test_jobs_of_a_paused_task_are_parked_until_it_continues(database_url: str, conn: psycopg.Connection) -> None:
    conn.execute("CREATE TABLE told (job_id bigint, what text)")
    with work(database_url, "-q", "default:4") as running:
        enqueue(conn, tasks.quick)
        wait_done(conn, log=lambda: running.output)
        assert pause_task(conn, "tests.support.*:quick")
        time.sleep(FOLLOWS_WITHIN)
        jobs = [handle.id for handle in enqueue_many(conn, tasks.quick, [()] * 50)]
        other = enqueue(conn, tasks.looks).id
        wait_for(conn, f"(SELECT count(*) = {len(jobs)} FROM pgjobs.jobs_waiting)", log=lambda: running.output)
        row = row_of(conn, jobs[0])
        assert (row["status"], row["held"], row["attempt"], row["worker_id"]) == ("waiting", "task", 0, None)
        wait_for(conn, f"EXISTS (SELECT FROM pgjobs.jobs_live WHERE id = {other} AND status = 'running')")
        assert scalar(conn, "SELECT count(*) FROM told") == 1
        assert resume_task(conn, "tests.support.*:quick")
        wait_for(conn, "(SELECT count(*) = 51 FROM told)", log=lambda: running.output)
    row = row_of(conn, jobs[0])
    assert (row["status"], row["attempt"], row["claims"]) == ("completed", 1, 2)


def test_while_everything_is_paused_nothing_is_claimed_and_what_runs_ends(
    database_url: str, conn: psycopg.Connection
) -> None:
    conn.execute("CREATE TABLE told (job_id bigint, what text)")
    with work(database_url, "-q", "default:4", "-q", "mail:4") as running:
        first = enqueue(conn, tasks.quick, 0.5).id
        wait_for(conn, f"EXISTS (SELECT FROM pgjobs.jobs_live WHERE id = {first} AND status = 'running')")
        assert pause_everything(conn)
        later = [enqueue(conn, tasks.quick.options(queue=queue)).id for queue in ("default", "mail")]
        assert wait_until_idle(conn, timeout=5) == []
        assert row_of(conn, first)["status"] == "completed"
        assert [row_of(conn, job)["claims"] for job in later] == [0, 0]
        began = time.monotonic()
        assert resume_everything(conn)
        wait_done(conn, log=lambda: running.output)
        assert time.monotonic() - began < FOLLOWS_WITHIN


def test_with_four_processes_kills_and_pauses_at_random_no_job_is_forgotten(
    database_url: str, conn: psycopg.Connection
) -> None:
    conn.execute("CREATE TABLE told (job_id bigint, what text)")
    dice = random.Random(7)  # noqa: S311 (the same dice every time)
    with work(database_url, "-q", "default:4", "--processes", 4, *QUICK) as running:
        enqueue_many(conn, tasks.quick.options(max_attempts=50), [(0.005,)] * 600)
        for turn in range(4):
            pause_task(conn, TASK)
            time.sleep(dice.uniform(0.1, 0.6))
            if turn == 1:
                running.kill_a_member()
            resume_task(conn, TASK)
            time.sleep(dice.uniform(0, 0.2))
        # A producer that has not seen yet that the task is resumed: what it parks is handed back.
        wait_done(conn, 30, log=lambda: running.output)
        assert parked(conn) == 0
        assert states(conn) == {"completed": 600}


def test_who_resumes_waits_for_who_parks(database_url: str, conn: psycopg.Connection) -> None:
    pause_task(conn, TASK)
    job = enqueue(conn, tasks.quick).id
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', worker_id = 1, claims = 1, attempt = 1")
    with psycopg.connect(database_url) as worker, psycopg.connect(database_url, autocommit=True) as operator:
        worker.execute("SELECT")  # its transaction continues
        assert settle(worker.cursor(), 1, "host", [(Claim(job, 1), Parked(TASK))]) == []
        thread = threading.Thread(target=resume_task, args=(operator, TASK))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        worker.commit()
        thread.join(10)
    assert row_of(conn, job)["status"] == "queued"


def test_what_is_parked_for_a_pause_that_has_ended_is_handed_back(conn: psycopg.Connection) -> None:
    job = enqueue(conn, tasks.quick).id
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', worker_id = 1, claims = 1, attempt = 1")
    assert settle(conn.cursor(), 1, "host", [(Claim(job, 1), Parked(TASK))]) == []
    row = row_of(conn, job)
    assert (row["status"], row["held"], row["attempt"]) == ("queued", None, 0)


def test_what_a_broken_off_resume_has_left_is_put_back(conn: psycopg.Connection) -> None:
    job = enqueue(conn, tasks.quick).id
    conn.execute("UPDATE pgjobs.jobs SET status = 'waiting', held = 'task'")
    assert requeue_parked(conn) == 1
    assert row_of(conn, job)["status"] == "queued"
