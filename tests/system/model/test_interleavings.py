"""Two transactions on one job, stepped by hand, in both orders: the second sees what the first has done.

For each pair of actions, from each state that a job can be in: the first acts and does not commit, the second acts (and
waits, if it has to), then the first commits or rolls back. What is in the tables in the end has to be what one of the
two orders gives when neither runs beside the other. A statement that skips locked rows may find nothing to do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs.admin import cancel_jobs, discard_dead, replay_dead, retry_jobs
from pgjobs.db.statements import statement
from pgjobs.jobs.outcome import COMPLETED, RELEASED, Cancelled, Failed, Outcome, Retried, Snoozed
from pgjobs.worker.claim.cursor import BEGINNING, END_OF_TIME, PRIORITIES
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import complete, settle
from pgjobs.worker.supervisor.rescue import WorkerExit, settle_dead_worker

if TYPE_CHECKING:
    from tests.support.postgres import Server
from tests.support.rows import letters_of

JOB = 1
FIRST, SECOND = 11, 12  # workers; the first has claimed the job, where it runs
FENCE = Claim(JOB, 1)
Action = Callable[[psycopg.Connection], object]
State = tuple[Any, ...]

_COLUMNS = "id, claims, attempt, max_attempts, status, task, payload, worker_id, finished_at, errors"
_ERRORS = """'[{"attempt": 1, "error": "no"}]'"""
STATES = {
    "queued": f"INSERT INTO pgjobs.jobs ({_COLUMNS}) VALUES (1, 0, 0, 2, 'queued', 'a:b', '', NULL, NULL, NULL)",
    "running": f"INSERT INTO pgjobs.jobs ({_COLUMNS}) VALUES (1, 1, 1, 2, 'running', 'a:b', '', 11, NULL, NULL)",
    "asked to end": "INSERT INTO pgjobs.jobs (id, claims, attempt, max_attempts, status, task, payload, worker_id, "
    "cancel_reason) VALUES (1, 1, 1, 2, 'running', 'a:b', '', 11, 'enough')",
    "completed": f"INSERT INTO pgjobs.jobs ({_COLUMNS}) VALUES (1, 1, 1, 2, 'completed', 'a:b', '', 11, now(), NULL)",
    "failed": f"WITH f AS (INSERT INTO pgjobs.jobs ({_COLUMNS}) "
    f"VALUES (1, 1, 1, 1, 'failed', 'a:b', '', 11, now(), {_ERRORS}) RETURNING *) "
    f"INSERT INTO pgjobs.dead_jobs {letters_of('f')}",
}


def _claim(conn: psycopg.Connection) -> None:
    conn.execute(
        statement("claim"),
        {
            "priorities": PRIORITIES,
            "run_ats": [BEGINNING[0]] * 10,
            "ids": [BEGINNING[1]] * 10,
            "untils": [END_OF_TIME] * 10,
            "counted_queue": None,
            "queue": "default",
            "demand": 10,
            "worker_id": SECOND,
        },
    )


def _outcome(outcome: Outcome) -> Action:
    if outcome is COMPLETED:
        return lambda conn: complete(conn.cursor(), FIRST, [JOB], [1])
    return lambda conn: settle(conn.cursor(), FIRST, "host", [(FENCE, outcome)])


ACTIONS: dict[str, Action] = {
    "claim": _claim,
    "complete": _outcome(COMPLETED),
    "retry": _outcome(Retried("no", 0.0)),
    "fail": _outcome(Failed("no")),
    "snooze": _outcome(Snoozed(0.0)),
    "hand_back": _outcome(RELEASED),
    "cancel itself": _outcome(Cancelled("enough")),
    "rescue": lambda conn: settle_dead_worker(conn, WorkerExit(FIRST, "killed by SIGKILL", frozenset({FENCE}))),
    "cancel": lambda conn: cancel_jobs(conn, [JOB]),
    "requeue": lambda conn: retry_jobs(conn, [JOB]),
    "replay": lambda conn: replay_dead(conn, [JOB]),
    "discard": lambda conn: discard_dead(conn, [JOB]),
    "forget": lambda conn: conn.execute("DELETE FROM pgjobs.jobs_history"),
}


SKIPS_LOCKED = {"claim", "replay", "discard", "rescue"}


class Stage:
    """A database with one job, and three connections: one to look, and two that act."""

    def __init__(self, url: str) -> None:
        self.look, self.one, self.two = (psycopg.connect(url, autocommit=True) for _ in range(3))

    def close(self) -> None:
        for connection in (self.look, self.one, self.two):
            connection.close()

    def set(self, state: str) -> None:
        self.look.execute("DELETE FROM pgjobs.jobs; DELETE FROM pgjobs.dead_jobs; DELETE FROM pgjobs.workers")
        self.look.execute(
            "INSERT INTO pgjobs.workers (id, host, pid, queues, version) OVERRIDING SYSTEM VALUE "
            "SELECT id, 'host', 0, '{}', '0' FROM unnest(ARRAY[11, 12]) AS id"
        )
        self.look.execute(STATES[state].encode())

    def state(self) -> State:
        """Return what matters of the tables; when something happened does not."""
        jobs = self.look.execute(
            "SELECT status, attempt, claims, max_attempts, CASE status WHEN 'running' THEN worker_id END, "
            "jsonb_array_length(errors), cancel_reason FROM pgjobs.jobs ORDER BY id"
        ).fetchall()
        letters = self.look.execute("SELECT attempt, jsonb_array_length(errors) FROM pgjobs.dead_jobs").fetchall()
        stranded = self.look.execute(
            "SELECT id FROM pgjobs.jobs AS j WHERE status = 'running' "
            "AND NOT EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = j.worker_id)"
        ).fetchall()
        assert not stranded, "it runs, and no worker will look for it"
        return (*jobs, "letters", *letters)

    def alone(self, state: str, *actions: Action) -> State:
        """Return what these actions lead to, one after the other."""
        self.set(state)
        for action in actions:
            with self.one.transaction():
                action(self.one)
        return self.state()

    def side_by_side(self, state: str, first: Action, second: Action, *, commit: bool) -> State:
        """Return what they lead to when the second acts before the first has committed, or has rolled back."""
        self.set(state)
        errors: list[BaseException] = []

        def act() -> None:
            try:
                with self.two.transaction():
                    second(self.two)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=act)
        with suppress(psycopg.Rollback), self.one.transaction():
            first(self.one)
            thread.start()
            while thread.is_alive() and not self._waits():
                thread.join(0.002)
            if not commit:
                raise psycopg.Rollback
        thread.join(10)
        assert not thread.is_alive(), "the second one waits forever"
        assert not errors, errors[0]
        return self.state()

    def _waits(self) -> bool:
        row = self.look.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [self.two.info.backend_pid]).fetchone()
        return row is not None and bool(row[0])


@contextmanager
def stage_on(url: str) -> Iterator[Stage]:
    stage = Stage(url)
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture(scope="module")
def stage(server: Server) -> Iterator[Stage]:
    url = server.create()
    with stage_on(url) as found:
        yield found
    server.drop(url)


PAIRS = [f"{first} and {second}" for first, second in combinations_with_replacement(sorted(ACTIONS), 2)]


@pytest.mark.parametrize("pair", PAIRS)
def test_what_two_do_at_once_is_what_they_do_one_after_the_other(stage: Stage, pair: str) -> None:
    names = pair.split(" and ")
    for state, (first, second), commit in product(STATES, {tuple(names), tuple(reversed(names))}, (True, False)):
        one, two = ACTIONS[first], ACTIONS[second]
        allowed = [stage.alone(state, one, two), stage.alone(state, two, one)] if commit else [stage.alone(state, two)]
        if second in SKIPS_LOCKED:
            allowed.append(stage.alone(state, one) if commit else stage.alone(state))
        found = stage.side_by_side(state, one, two, commit=commit)
        end = "commits" if commit else "rolls back"
        assert found in allowed, f"{state}: {first}, then {second}, then the first {end}"
