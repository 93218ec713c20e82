"""Queues in one worker and in several: slots, priorities, prefetch, pause."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue, enqueue_many
from tests.support import tasks
from tests.support.rows import row_of
from tests.support.worker import scalar, states, wait_done, wait_for, work

if TYPE_CHECKING:
    import psycopg

pytestmark = pytest.mark.in_turns(3)

RUNNING = "(SELECT count(*) FROM pgjobs.jobs_live WHERE status = 'running')"


def test_a_slow_queue_does_not_hold_a_fast_one(database_url: str, conn: psycopg.Connection) -> None:
    enqueue_many(conn, tasks.nap.options(queue="slow"), [(600,)] * 50)
    with work(database_url, "-q", "slow:2", "-q", "fast:2", "--grace", 0) as running:
        wait_for(conn, f"{RUNNING} = 2", log=lambda: running.output)
        enqueue_many(conn, tasks.healthy.options(queue="fast"), [(n,) for n in range(200)])
        wait_for(conn, "(SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed') = 200", 5)
        assert states(conn, "queue = 'slow'") == {"running": 2, "queued": 48}


def test_no_more_jobs_of_a_queue_run_at_once_than_it_has_slots(database_url: str, conn: psycopg.Connection) -> None:
    tasks.make_seen(conn)
    both = zip(
        enqueue_many(conn, tasks.note.options(queue="mixed"), [("mixed", 0.05)] * 20),
        enqueue_many(conn, tasks.note_async.options(queue="mixed"), [("mixed", 0.05)] * 20),
        strict=True,
    )
    assert len(list(both)) == 20
    enqueue_many(conn, tasks.note_async.options(queue="async"), [("async", 0.2)] * 30)
    enqueue_many(conn, tasks.note.options(queue="one"), [("one", 0.01)] * 15)
    options = ("-q", "mixed:4", "-q", "async:7", "-q", "one:1")
    with work(database_url, *options, env={tasks.URL: database_url}) as running:
        wait_done(conn, log=lambda: running.output)
    most = conn.execute(
        "SELECT a.what, max((SELECT count(*) FROM seen AS b WHERE b.what = a.what AND b.began <= a.began AND b.ended > "
        "a.began)) FROM seen AS a GROUP BY 1"
    ).fetchall()
    assert dict(most) == {"mixed": 4, "async": 7, "one": 1}


def test_a_plain_and_an_async_job_run_beside_each_other(database_url: str, conn: psycopg.Connection) -> None:
    tasks.make_seen(conn)
    enqueue(conn, tasks.note_async, "first", 0.3)
    enqueue(conn, tasks.note, "second", 0.3)
    with work(database_url, "-q", "default:2", env={tasks.URL: database_url}) as running:
        wait_done(conn, log=lambda: running.output)
    assert scalar(conn, "SELECT max(began) < min(ended) FROM seen")


def test_long_jobs_are_shared_by_the_workers_that_have_a_free_slot(database_url: str, conn: psycopg.Connection) -> None:
    tasks.make_seen(conn)
    with work(database_url, "-q", "default:2", "--processes", 2, env={tasks.URL: database_url}) as running:
        enqueue_many(conn, tasks.note, [("shared", 1.0)] * 4)
        wait_done(conn, log=lambda: running.output)
    shares = conn.execute("SELECT count(*) FROM seen GROUP BY pid").fetchall()
    assert shares == [(2,), (2,)]
    assert scalar(conn, "SELECT max(began) < min(ended) FROM seen")


def test_long_jobs_are_claimed_only_when_they_can_start(database_url: str, conn: psycopg.Connection) -> None:
    enqueue_many(conn, tasks.nap, [(0.5,)] * 7)
    with work(database_url, "-q", "default:2") as running:
        wait_done(conn, log=lambda: running.output)
    # One that had lain in an inbox would have been running for a second.
    assert scalar(conn, "SELECT max(finished_at - started_at) < interval '0.9 s' FROM pgjobs.jobs")


def test_higher_priorities_run_first_and_equal_ones_in_order(database_url: str, conn: psycopg.Connection) -> None:
    tasks.make_seen(conn)
    priorities = [priority for priority in range(10) for _ in range(3)]
    random.shuffle(priorities)
    with conn.transaction():
        for priority in priorities:
            enqueue(conn, tasks.mark_job.options(priority=priority), str(priority))
    with work(database_url, "-q", "default:1", env={tasks.URL: database_url}) as running:
        wait_done(conn, log=lambda: running.output)
    seen = conn.execute("SELECT what::int, job FROM seen ORDER BY began").fetchall()
    assert seen == sorted(seen)
    assert Counter(priority for priority, _ in seen) == Counter(priorities)


def test_a_paused_queue_is_not_claimed_and_continues_when_it_is_resumed(
    database_url: str, conn: psycopg.Connection
) -> None:
    with work(database_url, "-q", "default:2", "-q", "other:2") as running:
        wait_for(conn, "(SELECT count(*) FROM pgjobs.queues) = 2")
        conn.execute("UPDATE pgjobs.queues SET paused = true WHERE name = 'default'")
        job = enqueue(conn, tasks.nothing).id
        for _ in range(3):  # the worker continues, so it has had the time
            enqueue(conn, tasks.healthy.options(queue="other"), 1)
            wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.jobs_live WHERE queue = 'other')")
        assert row_of(conn, job)["status"] == "queued"
        conn.execute("UPDATE pgjobs.queues SET paused = false WHERE name = 'default'")
        wait_done(conn, 5, log=lambda: running.output)
        assert row_of(conn, job)["attempt"] == 1


def test_what_was_fetched_ahead_and_takes_longer_than_before_is_shared(
    database_url: str, conn: psycopg.Connection
) -> None:
    with work(database_url, "-q", "default:2") as hoarder, work(database_url, "-q", "default:2") as other:
        (late,) = other.members()  # it comes when the first has taken all; its start might take longer than the jobs
        os.kill(late, signal.SIGSTOP)
        enqueue_many(conn, tasks.nothing, [(n,) for n in range(300)])
        wait_done(conn, log=lambda: hoarder.output)
        enqueue_many(conn, tasks.nap, [(0.3,)] * 40)
        wait_for(conn, f"{RUNNING} > 30", log=lambda: hoarder.output)
        os.kill(late, signal.SIGCONT)
        wait_done(conn, log=lambda: hoarder.output + other.output)
        shares = conn.execute("SELECT count(*) FROM pgjobs.jobs WHERE task LIKE '%:nap' GROUP BY worker_id").fetchall()
    assert len(shares) == 2
    assert min(shares)[0] >= 10
    assert states(conn) == {"completed": 340}
    assert scalar(conn, "SELECT max(attempt) FROM pgjobs.jobs") == 1


def test_prefetched_jobs_that_cannot_start_are_left_to_others(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url, "-q", "default:1", "--grace", 0) as hoarder:
        enqueue_many(conn, tasks.nothing, [(n,) for n in range(300)])
        wait_done(conn, log=lambda: hoarder.output)
        with conn.transaction():
            long = enqueue(conn, tasks.nap, 600).id
            short = [handle.id for handle in enqueue_many(conn, tasks.nothing, [(n,) for n in range(20)])]
        wait_for(conn, f"{RUNNING} = 21", log=lambda: hoarder.output)
        with work(database_url, "-q", "default:1") as other:
            wait_for(conn, f"{RUNNING} = 1", 5, log=lambda: hoarder.output + other.output)
            wait_for(conn, "(SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed') = 320", 5)
        assert {row_of(conn, job)["attempt"] for job in short} == {1}
        assert row_of(conn, long)["status"] == "running"
