"""Sequences, jobs that wait for others, limits of queues and expiry, by real workers, of which some are killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from pgjobs import JobHandle, Sequence, enqueue, enqueue_many
from pgjobs.admin import cancel_jobs, discard_dead, replay_dead, retry_jobs
from pgjobs.flow.options import IfFailed
from tests.support import tasks_flow as tasks
from tests.support.rows import row_of
from tests.support.worker import QUICK, Work, drain, scalar, states, wait_for, work

pytestmark = pytest.mark.in_turns(3)

DICE = random.Random(20261122)  # noqa: S311 (no secret)
ALL_DONE = "NOT EXISTS (SELECT FROM pgjobs.jobs WHERE status IN ('waiting', 'queued', 'running'))"
FOUR = ("--processes", "4", *QUICK)


class Note(NamedTuple):
    """What a job has written down."""

    at: float
    what: str
    job: int
    attempt: int
    pid: int


class Notes:
    """What jobs have written down, in the order in which they did."""

    def __init__(self, directory: Path) -> None:
        self.env = {tasks.NOTES: str(directory)}
        self._file = directory / "notes"

    def all(self) -> list[Note]:
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return [
            Note(float(at), what, int(job), int(attempt), int(pid))
            for at, what, job, attempt, pid in map(str.split, lines)
        ]


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


@pytest.fixture
def running(database_url: str, notes: Notes) -> Iterator[Work]:
    with work(database_url, "-q", "default:4", "-q", "narrow:4", *FOUR, env=notes.env) as running:
        yield running


def kill_some(running: Work, times: int, pause: float) -> None:
    for _ in range(times):
        time.sleep(pause)
        members = running.members()
        if members:
            with suppress(ProcessLookupError):
                os.kill(DICE.choice(members), signal.SIGKILL)


# -- Sequences -------------------------------------------------------------------------------------------------------


def test_the_jobs_of_a_sequence_run_one_after_another_in_order_over_retries_and_kills(
    conn: psycopg.Connection, running: Work, notes: Notes
) -> None:
    jobs = enqueue_many(conn, tasks.post, [(number % 7, number) for number in range(280)])
    kill_some(running, times=4, pause=0.4)
    wait_for(conn, ALL_DONE, 60, log=lambda: running.output[-3000:])
    assert states(conn) == {"completed": len(jobs)}
    sequences: dict[int, list[Note]] = defaultdict(list)
    for each in notes.all():
        sequences[jobs.index(JobHandle(each.job)) % 7].append(each)
    for found in sequences.values():
        begun = [each.job for each in found if each.what == "begin"]
        assert begun == sorted(begun)  # in order, and what began again did so before the next one
        ended = [each.job for each in found if each.what == "end"]
        assert set(ended) == set(begun)
        for before, after in pairwise(found):
            assert before.what == "end" or after.job == before.job  # none begins while another one runs


def test_a_failed_job_blocks_its_sequence_until_it_is_discarded_or_succeeds(
    conn: psycopg.Connection, database_url: str, notes: Notes
) -> None:
    bad = enqueue(conn, tasks.refuse, 1).id
    behind = enqueue(conn, tasks.post, 1, 1).id
    other = enqueue(conn, tasks.post, 2, 1).id
    drain(database_url, env=notes.env)
    assert [row_of(conn, job)["status"] for job in (bad, behind, other)] == ["failed", "waiting", "completed"]
    replay_dead(conn, [bad])
    drain(database_url, env=notes.env)
    assert [row_of(conn, job)["status"] for job in (bad, behind)] == ["failed", "waiting"]
    discard_dead(conn, [bad])
    drain(database_url, env=notes.env)
    assert row_of(conn, behind)["status"] == "completed"


def test_a_failed_job_that_says_skip_is_skipped_and_one_that_says_end_ends_its_sequence(
    conn: psycopg.Connection, database_url: str, notes: Notes
) -> None:
    enqueue(conn, tasks.refuse.options(sequence=Sequence("account:{account}", on_failure="skip")), 1)
    skipped = enqueue(conn, tasks.post, 1, 1).id
    bad = enqueue(conn, tasks.refuse.options(sequence=Sequence("account:{account}", on_failure="end")), 2).id
    ended = [enqueue(conn, tasks.post, 2, 1).id for _ in range(3)]
    after_it = enqueue(conn, tasks.step.options(after=ended[-1:], if_failed="run"), "after").id
    drain(database_url, env=notes.env)
    assert row_of(conn, skipped)["status"] == "completed"
    assert [row_of(conn, job)["status"] for job in ended] == ["cancelled"] * 3
    assert row_of(conn, ended[0])["error"] == f"cancelled: its sequence ended when job {bad} failed"
    assert row_of(conn, after_it)["status"] == "completed"


def test_a_cancelled_job_lets_its_sequence_go_on(conn: psycopg.Connection, database_url: str, notes: Notes) -> None:
    first, second = (enqueue(conn, tasks.post, 1, 1).id for _ in range(2))
    cancel_jobs(conn, [first])
    drain(database_url, env=notes.env)
    assert row_of(conn, second)["status"] == "completed"


# -- Jobs that wait for others ---------------------------------------------------------------------------------------


def test_waiting_job_runs_when_all_it_waits_for_have_completed_through_kills(
    conn: psycopg.Connection, running: Work, notes: Notes
) -> None:
    with conn.transaction():
        for number in range(15):
            first = [enqueue(conn, tasks.step, f"first{number}") for _ in range(3)]
            middle = enqueue(conn, tasks.step.options(after=first), f"middle{number}")
            for _ in range(2):
                enqueue(conn, tasks.step.options(after=[middle, first[0]]), f"last{number}")
    for number in range(15, 30):  # each in a transaction of its own: those it needs may run, or have ended
        first = [enqueue(conn, tasks.step, f"first{number}") for _ in range(3)]
        middle = enqueue(conn, tasks.step.options(after=first), f"middle{number}")
        enqueue(conn, tasks.step.options(after=[middle], delay=0.01), f"last{number}")
    kill_some(running, times=3, pause=0.3)
    wait_for(conn, ALL_DONE, 60, log=lambda: running.output[-3000:])
    assert states(conn) == {"completed": 15 * 6 + 15 * 5}
    assert scalar(conn, "SELECT count(*) FROM pgjobs.dependencies") == 0
    seen = [each.what for each in notes.all()]
    for number in range(30):
        last_first = max(at for at, what in enumerate(seen) if what == f"first{number}")
        middles = [at for at, what in enumerate(seen) if what == f"middle{number}"]
        lasts = [at for at, what in enumerate(seen) if what == f"last{number}"]
        assert [at for at, what in enumerate(seen) if what == f"first{number}"][2] < middles[0] < lasts[0]
        assert last_first >= 0


@pytest.mark.parametrize(("if_failed", "status"), [("wait", "waiting"), ("run", "completed"), ("cancel", "cancelled")])
def test_what_waits_for_a_job_that_fails_does_what_it_said(
    conn: psycopg.Connection, database_url: str, notes: Notes, if_failed: IfFailed, status: str
) -> None:
    with conn.transaction():
        bad = enqueue(conn, tasks.break_down)
        waits = enqueue(conn, tasks.step.options(after=[bad], if_failed=if_failed), "second").id
        behind = enqueue(conn, tasks.step.options(after=[waits], if_failed="cancel"), "third").id
    late = enqueue(conn, tasks.step.options(after=[bad], if_failed=if_failed), "late").id
    drain(database_url, env=notes.env)
    wait_for(conn, f"(SELECT status FROM pgjobs.jobs WHERE id = {waits}) = '{status}'")
    assert row_of(conn, late)["status"] == status
    assert row_of(conn, behind)["status"] == {"wait": "waiting", "run": "completed", "cancel": "cancelled"}[if_failed]


def test_what_waits_for_a_failed_job_runs_when_that_one_is_replayed_and_completes(
    conn: psycopg.Connection, database_url: str, notes: Notes
) -> None:
    with conn.transaction():
        bad = enqueue(conn, tasks.break_down)
        waits = enqueue(conn, tasks.step.options(after=[bad]), "second").id
    drain(database_url, env=notes.env)
    conn.execute("UPDATE pgjobs.dead_jobs SET task = 'builtins:len', payload = %s", [_payload()])
    replay_dead(conn, [bad.id])
    drain(database_url, env=notes.env)
    assert [row_of(conn, job)["status"] for job in (bad.id, waits)] == ["completed", "completed"]


def _payload() -> bytes:
    from pgjobs.payload.pickling import dump

    return dump(len, ("x",), {})


def test_job_that_ended_long_ago_is_not_waited_for(conn: psycopg.Connection, database_url: str, notes: Notes) -> None:
    done = enqueue(conn, tasks.step, "first")
    drain(database_url, env=notes.env)
    enqueue(conn, tasks.step.options(after=[done]), "second")
    drain(database_url, env=notes.env)
    assert [each.what for each in notes.all()] == ["first", "second"]


def test_a_cancelled_job_counts_as_one_that_did_not_complete(conn: psycopg.Connection) -> None:
    with conn.transaction():
        first = enqueue(conn, tasks.step, "first")
        waits = enqueue(conn, tasks.step.options(after=[first], if_failed="cancel"), "second").id
        runs = enqueue(conn, tasks.step.options(after=[first], if_failed="run"), "second").id
    cancel_jobs(conn, [first.id])
    assert [row_of(conn, job)["status"] for job in (waits, runs)] == ["cancelled", "queued"]
    retry_jobs(conn, [waits])
    assert row_of(conn, waits)["status"] == "queued"


# -- Limits of queues, and expiry ------------------------------------------------------------------------------------


def test_a_queue_runs_no_more_than_its_limit_over_all_workers_through_kills(
    conn: psycopg.Connection, running: Work, notes: Notes
) -> None:
    conn.execute("INSERT INTO pgjobs.queues (name) VALUES ('narrow') ON CONFLICT DO NOTHING")
    conn.execute("UPDATE pgjobs.queues SET concurrency = 2 WHERE name = 'narrow'")
    time.sleep(1.1)  # what was claimed before they knew is not counted
    enqueue_many(conn, tasks.squeeze, [(number,) for number in range(150)])
    kill_some(running, times=3, pause=0.3)
    wait_for(conn, ALL_DONE, 60, log=lambda: running.output[-3000:])
    assert states(conn) == {"completed": 150}
    runs: dict[tuple[int, int], Note] = {}
    most = 0
    for each in notes.all():
        runs = {run: begun for run, begun in runs.items() if _lives(begun, running)}
        if each.what == "begin":
            runs[each.job, each.pid] = each
            most = max(most, len(runs))
        else:
            runs.pop((each.job, each.pid), None)
    assert most == 2


def _lives(begun: Note, running: Work) -> bool:
    """Return True if the process that began it was not killed: what it ran ended with it."""
    return begun.pid in running.members()


def test_a_rate_of_a_queue_lets_its_number_start(conn: psycopg.Connection, database_url: str, notes: Notes) -> None:
    conn.execute("INSERT INTO pgjobs.queues (name, rate, period, burst) VALUES ('narrow', 1, '1 hour', 3)")
    enqueue_many(conn, tasks.squeeze, [(number,) for number in range(10)])
    drain(database_url, "-q", "narrow", env=notes.env)
    assert states(conn) == {"completed": 3, "queued": 7}


def test_what_has_expired_when_its_turn_comes_is_cancelled_and_not_run(
    conn: psycopg.Connection, database_url: str, notes: Notes
) -> None:
    late = enqueue(conn, tasks.soon, "late").id
    in_time = enqueue(conn, tasks.soon.options(expires=600), "intime").id
    time.sleep(0.3)
    drain(database_url, env=notes.env)
    assert row_of(conn, late)["status"] == "cancelled"
    assert row_of(conn, late)["error"] == "expired before its turn came"
    assert row_of(conn, in_time)["status"] == "completed"
