"""SIGTERM and SIGINT drain; a second one stops at once; `--drain` ends by itself."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from tests.support import tasks
from tests.support.processes import children, wait_until
from tests.support.rows import count, row_of
from tests.support.tasks_ends import TRACES, end
from tests.support.worker import drain, states, wait_for, work
from tests.worker.supervisor.test_rescue import claim_more_than_runs

pytestmark = pytest.mark.in_turns(3)

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@SIGNALS
def test_a_signal_lets_what_runs_finish_and_hands_back_what_has_not_started(
    database_url: str, conn: psycopg.Connection, number: int
) -> None:
    with work(database_url, "-q", "default:2", env={tasks.URL: database_url}) as running:
        jobs = claim_more_than_runs(conn, seconds=0.8)
        running.signal(number)
        assert running.wait() == 0
        assert running.remains() == []
    assert [row_of(conn, job)["status"] for job in jobs] == ["completed"] * 2 + ["queued"] * 10
    for job in jobs[2:]:
        row = row_of(conn, job)
        assert (row["attempt"], row["worker_id"], row["started_at"], row["errors"]) == (0, None, None, None)
    assert count(conn, "workers") == 0


def test_nothing_is_claimed_after_the_signal(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url, "-q", "default:4") as running:
        enqueue(conn, tasks.nap, 1.0)
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')", log=lambda: running.output)
        running.signal(signal.SIGTERM)
        wait_until(lambda: "draining" in running.output)
        time.sleep(0.2)  # the word reaches the worker process
        late = enqueue(conn, tasks.nothing).id
        assert running.wait() == 0
    row = row_of(conn, late)
    assert (row["status"], row["attempt"]) == ("queued", 0)


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_what_runs_longer_than_the_grace_is_given_back_and_does_not_count(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, executor: Literal["thread", "process"]
) -> None:
    job = enqueue(conn, end.options(executor=executor), "sleep with a child").id
    with work(database_url, "--grace", 0.5, env={TRACES: str(tmp_path)}) as running:
        wait_until(lambda: list(tmp_path.iterdir()))
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 5
        assert running.remains() == []
    row = row_of(conn, job)
    assert (row["status"], row["attempt"], row["errors"]) == ("queued", 0, None)
    assert count(conn, "workers") == 0


def _catches_sigterm(pid: int) -> bool:
    caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_process_job_finishes_although_the_signal_went_to_every_process(
    database_url: str, conn: psycopg.Connection
) -> None:
    """As systemd does, and a shell's `kill -- -PGID`."""
    job = enqueue(conn, tasks.nap.options(executor="process"), 1.0).id
    with work(database_url) as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')", log=lambda: running.output)
        (member,) = running.members()
        wait_until(lambda: any(map(_catches_sigterm, children(member))))  # its interpreter has started
        for pid in (running.pid, member, *children(member)):
            os.kill(pid, signal.SIGHUP)  # a terminal that closes tells all of them
            os.kill(pid, signal.SIGTERM)
        assert running.wait() == 0
        assert running.remains() == []
    row = row_of(conn, job)
    assert (row["status"], row["attempt"], row["errors"]) == ("completed", 1, None)


@SIGNALS
def test_a_second_signal_stops_at_once(database_url: str, conn: psycopg.Connection, number: int) -> None:
    job = enqueue(conn, tasks.nap, 600).id
    with work(database_url, "--grace", 600) as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')", log=lambda: running.output)
        running.signal(number)
        wait_until(lambda: "draining" in running.output)
        time.sleep(0.1)
        running.signal(number)
        assert running.wait(5) == 0
        assert running.remains() == []
    row = row_of(conn, job)
    assert (row["status"], row["attempt"]) == ("queued", 0)
    assert count(conn, "workers") == 0


@pytest.fixture
def sigquit_by_default() -> Iterator[None]:
    """Start processes that get SIGQUIT: a shell starts what runs in the background with the signal ignored."""
    before = signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGQUIT, before)


@pytest.mark.usefixtures("sigquit_by_default")
def test_sigquit_stops_at_once_and_the_attempt_does_not_count(database_url: str, conn: psycopg.Connection) -> None:
    job = enqueue(conn, tasks.nap, 600).id
    with work(database_url, "--grace", 600) as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')", log=lambda: running.output)
        for pid in (*running.members(), running.pid):  # as a script may send it
            os.kill(pid, signal.SIGQUIT)
        assert running.wait(30) == 0
        assert running.remains() == []
        assert running.lines(event="SIGQUIT: stopping at once")
    row = row_of(conn, job)
    assert (row["status"], row["attempt"], row["errors"]) == ("queued", 0, None)


def test_signals_that_mean_nothing_end_neither_workers_nor_jobs(database_url: str, conn: psycopg.Connection) -> None:
    job = enqueue(conn, tasks.nap.options(executor="process"), 1.5).id
    with work(database_url) as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')", log=lambda: running.output)
        (member,) = running.members()
        wait_until(lambda: any(map(_catches_sigterm, children(member))))
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            for pid in (*children(member), member, running.pid):
                os.kill(pid, number)
        wait_until(lambda: running.lines(event="SIGUSR2 means nothing here: ignored"))
        assert running.lines(event="SIGUSR1 means nothing here: ignored")
        assert running.members() == [member]
        assert running.stop() == 0
    row = row_of(conn, job)
    assert (row["status"], row["attempt"], row["errors"]) == ("completed", 1, None)


def test_a_signal_that_comes_twice_at_the_same_moment_counts_once(database_url: str, conn: psycopg.Connection) -> None:
    job = enqueue(conn, tasks.nap, 1.0).id
    with work(database_url) as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')", log=lambda: running.output)
        running.signal(signal.SIGTERM)  # `timeout`, for one, tells a process and then its group
        running.signal(signal.SIGTERM)
        assert running.wait(10) == 0
    assert row_of(conn, job)["status"] == "completed"


def test_a_signal_while_the_worker_is_starting_stops_it_soon(database_url: str) -> None:
    with work(database_url, ready=False) as running:
        wait_until(running.members)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 5
        assert running.remains() == []


def test_a_drain_ends_when_nothing_is_due(database_url: str, conn: psycopg.Connection) -> None:
    enqueue_many(conn, tasks.nothing, [(n,) for n in range(100)])
    later = enqueue(conn, tasks.healthy.options(delay=3600), 1).id
    elsewhere = enqueue(conn, tasks.healthy.options(queue="elsewhere"), 1).id
    drain(database_url, "--processes", 2, seconds=20)
    assert states(conn) == {"completed": 100, "queued": 2}
    assert {row_of(conn, job)["attempt"] for job in (later, elsewhere)} == {0}
    assert count(conn, "workers") == 0


def test_a_drain_continues_with_what_the_jobs_enqueue_also_in_other_queues(
    database_url: str, conn: psycopg.Connection
) -> None:
    tasks.make_seen(conn)
    queues = ["one", "two", "three"]
    enqueue(conn, tasks.enqueue_another.options(queue="one"), 12, queues)
    drain(database_url, *[word for name in queues for word in ("-q", f"{name}:2")], env={tasks.URL: database_url})
    assert states(conn) == {"completed": 13}


def test_module_that_cannot_be_imported_ends_the_worker_with_one_line(database_url: str) -> None:
    with work(database_url, "--import", "shop.missing", ready=False) as running:
        assert running.wait() == 1
        told = [line for line in running.output.splitlines() if not line.startswith("{")]
        assert len(told) == 1
        assert told[0].startswith("pgjobs: cannot import shop.missing: ModuleNotFoundError: No module named 'shop")
        assert running.remains() == []
