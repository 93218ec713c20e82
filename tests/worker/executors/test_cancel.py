"""Jobs are cancelled while they run: within a second, once, and for good."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import Job, enqueue, enqueue_many
from pgjobs.admin import cancel_jobs, wait_for_exit
from tests.support import tasks_cancel as tasks
from tests.support.rows import put_job, row_of
from tests.support.worker import QUICK, scalar, states, wait_done, wait_for, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.worker import Work

pytestmark = pytest.mark.in_turns(3)

WITHIN = 1.0  # second
STARTS_IN = 0.3  # seconds, after its claim
PROCESS_STARTS_IN = 1.5
SLOTS = 6


@pytest.fixture
def running(database_url: str, conn: psycopg.Connection) -> Iterator[Work]:
    conn.execute("CREATE TABLE told (job_id bigint, what text)")
    with work(database_url, "-q", f"default:{SLOTS}") as running:
        yield running


def claimed(conn: psycopg.Connection, job: int, running: Work) -> None:
    """Wait until it is claimed."""
    condition = f"EXISTS (SELECT FROM pgjobs.jobs_live WHERE id = {job} AND status = 'running')"
    wait_for(conn, condition, log=lambda: running.output)


KINDS: dict[str, tuple[Job[[], Any], bool, bool]] = {
    "async": (tasks.sleeps, False, False),
    "thread asked": (tasks.looks, False, False),
    "thread forced": (tasks.never_looks, True, False),
    "thread forced, and tidy": (tasks.tidies_up, True, False),
    "process": (tasks.hangs, False, False),
    "isolated": (tasks.isolated_hangs, False, True),
}


def test_what_runs_ends_within_a_second_and_is_not_retried(conn: psycopg.Connection, running: Work) -> None:
    jobs = {kind: start(conn, function, isolate=isolate) for kind, (function, _, isolate) in KINDS.items()}
    for job in jobs.values():
        claimed(conn, job, running)
    time.sleep(PROCESS_STARTS_IN)
    took = {}
    for kind, job in jobs.items():
        began = time.monotonic()
        change = cancel_jobs(conn, [job], force=KINDS[kind][1], reason="not needed")
        assert (change.done, change.asked, change.refused) == ((), (job,), ())
        assert wait_for_exit(conn, [job], 10) == (), kind
        took[kind] = time.monotonic() - began
        row = row_of(conn, job)
        assert (row["status"], row["error"], row["attempt"]) == ("cancelled", "not needed", 1), kind
    assert max(took.values()) < WITHIN, took
    assert conn.execute("SELECT job_id, what FROM told").fetchall() == [(jobs["thread forced, and tidy"], "tidied")]
    enqueue_many(conn, tasks.quick, [(0.1,)] * 2 * SLOTS)
    wait_done(conn, log=lambda: running.output)  # slots and threads are of use
    assert states(conn) == {"cancelled": len(KINDS), "completed": 2 * SLOTS}


def start(conn: psycopg.Connection, function: Job[[], Any], *, isolate: bool = False) -> int:
    """Enqueue it, so that it runs by itself in a process where that is asked for."""
    job = enqueue(conn, function.options(delay=1000)).id
    conn.execute("UPDATE pgjobs.jobs SET isolate = nullif(%s, false), run_at = now() WHERE id = %s", [isolate, job])
    return job


def test_a_job_that_returns_all_the_same_has_completed_and_one_that_does_not_look_continues(
    conn: psycopg.Connection, running: Work
) -> None:
    returns = [enqueue(conn, tasks.swallows).id, enqueue(conn, tasks.looks, give_up=False).id]
    goes_on = enqueue(conn, tasks.never_looks).id
    for job in (*returns, goes_on):
        claimed(conn, job, running)
    time.sleep(STARTS_IN)
    cancel_jobs(conn, [*returns, goes_on])
    assert wait_for_exit(conn, [*returns, goes_on], 3) == (goes_on,)
    for job in returns:
        row = row_of(conn, job)
        assert (row["status"], row["error"], row["attempt"]) == ("completed", None, 1)
    cancel_jobs(conn, [goes_on], force=True)
    assert wait_for_exit(conn, [goes_on], 3) == ()
    assert row_of(conn, goes_on)["status"] == "cancelled"


def test_what_lies_in_the_inbox_and_what_is_queued_is_cancelled_without_running(
    database_url: str, conn: psycopg.Connection
) -> None:
    conn.execute("CREATE TABLE told (job_id bigint, what text)")
    with work(database_url, "-q", "default:1") as running:
        enqueue_many(conn, tasks.quick, [(0.0,)] * 5)  # so that it fetches ahead
        wait_done(conn, log=lambda: running.output)
        first, *rest = (h.id for h in enqueue_many(conn, tasks.quick, [(0.9,)] + [(0.0,)] * 20))
        claimed(conn, rest[0], running)
        waiting = put_job(conn, status="waiting")
        later = enqueue(conn, tasks.quick.options(delay=1000)).id
        change = cancel_jobs(conn, [*rest, waiting, later])
        assert rest[0] in change.asked
        assert set(change.done) >= {waiting, later}
        wait_done(conn, log=lambda: running.output)
    assert states(conn) == {"completed": 6, "cancelled": 22}
    assert scalar(conn, "SELECT count(*) FROM told WHERE job_id = ANY (%s)", [rest]) == 0
    assert row_of(conn, first)["status"] == "completed"


def test_a_job_whose_worker_dies_before_it_hears_is_cancelled_when_it_is_rescued(
    conn: psycopg.Connection, running: Work
) -> None:
    job = enqueue(conn, tasks.never_looks).id
    claimed(conn, job, running)
    for pid in running.members():
        os.kill(pid, signal.SIGSTOP)
    cancel_jobs(conn, [job])
    for pid in running.members():
        os.kill(pid, signal.SIGKILL)
    wait_done(conn, log=lambda: running.output)
    row = row_of(conn, job)
    assert (row["status"], row["error"], row["attempt"]) == ("cancelled", "cancelled by an operator", 1)


def test_a_draining_worker_still_hears(conn: psycopg.Connection, running: Work) -> None:
    job = enqueue(conn, tasks.looks).id
    claimed(conn, job, running)
    time.sleep(STARTS_IN)
    running.signal(signal.SIGTERM)
    time.sleep(0.5)
    cancel_jobs(conn, [job])
    assert running.wait(5) == 0
    assert row_of(conn, job)["status"] == "cancelled"


def test_requests_that_come_at_the_end_of_jobs_harm_no_others(conn: psycopg.Connection, running: Work) -> None:
    ids = [h.id for h in enqueue_many(conn, tasks.quick, [(n % 7 / 500,) for n in range(200)])]
    while scalar(conn, "SELECT count(*) FROM pgjobs.jobs_live"):
        live = conn.execute("SELECT id FROM pgjobs.jobs_live WHERE status = 'running' ORDER BY id LIMIT 3").fetchall()
        cancel_jobs(conn, [row[0] for row in live], force=True)
    found = states(conn)
    assert found.keys() <= {"cancelled", "completed"}
    assert sum(found.values()) == len(ids)
    assert scalar(conn, "SELECT count(*) FROM (SELECT FROM told GROUP BY job_id HAVING count(*) > 1) AS twice") == 0
    assert running.lines(level="error") == []


def runs(conn: psycopg.Connection, jobs: set[int]) -> dict[int, int]:
    """Count how often each of these jobs has run."""
    query = "SELECT job_id, count(*) FROM told WHERE job_id = ANY (%s) GROUP BY 1"
    return dict(conn.execute(query, [[*jobs]]).fetchall())


def test_with_four_processes_kills_and_cancels_at_random_every_job_ends_once(
    database_url: str, conn: psycopg.Connection
) -> None:
    conn.execute("CREATE TABLE told (job_id bigint, what text)")
    dice = random.Random(5)  # noqa: S311 (the same dice every time)
    jobs = [h.id for h in enqueue_many(conn, tasks.quick.options(max_attempts=50), [(0.02,)] * 300)]
    jobs += [enqueue(conn, tasks.sleeps.options(max_attempts=50)).id for _ in range(8)]
    jobs += [enqueue(conn, tasks.looks.options(max_attempts=50)).id for _ in range(4)]
    asked: set[int] = set()
    done: set[int] = set()
    with ExitStack() as stack:
        workers = [
            stack.enter_context(work(database_url, "-q", "default:4", "--processes", 2, *QUICK)) for _ in range(2)
        ]
        began = time.monotonic()
        kills = [1.0, 0.5]  # seconds after the beginning
        while time.monotonic() - began < 2.0:
            change = cancel_jobs(conn, dice.sample(jobs, 6))
            asked |= set(change.asked)
            done |= set(change.done)
            if kills and time.monotonic() - began > kills[-1]:
                kills.pop()
                pid = dice.choice([pid for one in workers for pid in one.members()] or [0])
                if pid:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        before: dict[int, int] = dict(
            conn.execute("SELECT job_id, count(*) FROM told WHERE job_id = ANY (%s) GROUP BY 1", [[*done]])
        )
        asked |= set(cancel_jobs(conn, jobs[300:]).asked)
        wait_done(conn, 30, log=lambda: "\n".join(one.output[-3000:] for one in workers))
        assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs") == len(jobs)
        assert states(conn).keys() <= {"completed", "cancelled"}
        rows: dict[int, str] = dict(conn.execute("SELECT id, status FROM pgjobs.jobs").fetchall())
        assert {rows[job] for job in done} <= {"cancelled"}
        after: dict[int, int] = dict(
            conn.execute("SELECT job_id, count(*) FROM told WHERE job_id = ANY (%s) GROUP BY 1", [[*done]])
        )
        assert after == before  # none of them has run since
        assert asked
