"""Two transactions on one job, stepped by hand, in both orders: the second sees what the first has done.

For each pair of actions, from each state that a job can be in: the first acts and does not commit, the second acts (and
waits, if it has to), then the first commits or rolls back. What is in the tables in the end has to be what one of the
two orders gives when neither runs beside the other. A statement that skips locked rows may find nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs.admin import cancel_jobs, discard_dead, replay_dead, retry_jobs
from pgjobs.db.statements import statement
from pgjobs.effects.own_transaction import STALE
from pgjobs.jobs.outcome import COMPLETED, RELEASED, Cancelled, Failed, KeptResult, Outcome, Retried, Snoozed
from pgjobs.worker.claim.cursor import BEGINNING, END_OF_TIME, PRIORITIES
from pgjobs.worker.runtime.completing import complete
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import settle
from pgjobs.worker.supervisor.rescue import WorkerExit, settle_dead_worker
from tests.support.rows import letters_of
from tests.system.model.stage import Action, Stage, State, stage_on

if TYPE_CHECKING:
    from tests.support.postgres import Server

JOB = 1
FIRST, SECOND = 11, 12  # workers; the first has claimed the job, where it runs
FENCE = Claim(JOB, 1)

_COLUMNS = "id, claims, attempt, max_attempts, status, task, payload, worker_id, finished_at, errors"
_ERRORS = """'[{"attempt": 1, "error": "no"}]'"""
STATES = {
    "queued": f"INSERT INTO pgjobs.jobs ({_COLUMNS}) VALUES (1, 0, 0, 2, 'queued', 'a:b', '', NULL, NULL, NULL)",
    "running": f"INSERT INTO pgjobs.jobs ({_COLUMNS}) VALUES (1, 1, 1, 2, 'running', 'a:b', '', 11, NULL, NULL)",
    "asked to end": "INSERT INTO pgjobs.jobs (id, claims, attempt, max_attempts, status, task, payload, worker_id, "
    "cancel_reason) VALUES (1, 1, 1, 2, 'running', 'a:b', '', 11, 'enough')",
    "completed": f"INSERT INTO pgjobs.jobs ({_COLUMNS}) VALUES (1, 1, 1, 2, 'completed', 'a:b', '', 11, now(), NULL)",
    "completed with a result": f"INSERT INTO pgjobs.jobs ({_COLUMNS}) "
    "VALUES (1, 1, 1, 2, 'completed', 'a:b', '', 11, now(), NULL); INSERT INTO pgjobs.results (job_id, kept_until, "
    "is_json, value) VALUES (1, now() + interval '1 h', true, '1')",
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


def _complete_what_is_free(conn: psycopg.Connection) -> None:
    """Acknowledge as a worker does that has met the lock of another transaction."""
    held = {row[0] for row in conn.execute(statement("held_claims"), {"ids": [JOB], "worker_id": FIRST})}
    if JOB not in held:
        complete(conn.cursor(), FIRST, [JOB], [1], patient=False)


def _complete_with_result(conn: psycopg.Connection) -> None:
    complete(conn.cursor(), FIRST, [JOB], [1], results={JOB: KeptResult(b"1", True, 60.0)})


def _within(name: str, **values: object) -> Action:
    """Do what `complete` does in a job's own transaction; one whose claim is stale cannot be committed."""

    def act(conn: psycopg.Connection) -> None:
        try:
            with conn.transaction():
                conn.execute(statement(name), {"id": JOB, "claim_number": 1, **values})
        except psycopg.Error as error:
            if error.sqlstate != STALE:
                raise

    return act


def _read_result(conn: psycopg.Connection) -> None:
    conn.execute(statement("results_of"), {"ids": [JOB]})


def _report(conn: psycopg.Connection) -> None:
    values = {"ids": [JOB], "claim_numbers": [1], "dones": [1.0], "totals": [None], "messages": [None]}
    conn.execute(statement("write_progress"), {**values, "states": [None]})


def _outcome(outcome: Outcome) -> Action:
    if outcome is COMPLETED:
        return lambda conn: complete(conn.cursor(), FIRST, [JOB], [1])
    return lambda conn: settle(conn.cursor(), FIRST, "host", [(FENCE, outcome)])


ACTIONS: dict[str, Action] = {
    "claim": _claim,
    "complete": _outcome(COMPLETED),
    "complete with a result": _complete_with_result,
    "complete within": _within("complete_within"),
    "complete within, with a result": _within(
        "complete_within_with_result", seconds=60.0, is_json=True, signature=None, value=b"1"
    ),
    "complete what is free": _complete_what_is_free,
    "report": _report,
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
    "drop results": lambda conn: conn.execute("DELETE FROM pgjobs.results"),
    "read results": _read_result,
}


SKIPS_LOCKED = {"claim", "complete what is free", "replay", "discard", "rescue"}


def look_at(conn: psycopg.Connection) -> State:
    jobs = conn.execute(
        "SELECT status, attempt, claims, max_attempts, CASE status WHEN 'running' THEN worker_id END, "
        "jsonb_array_length(errors), cancel_reason FROM pgjobs.jobs ORDER BY id"
    ).fetchall()
    letters = conn.execute("SELECT attempt, jsonb_array_length(errors) FROM pgjobs.dead_jobs").fetchall()
    kept = conn.execute("SELECT job_id FROM pgjobs.results UNION ALL SELECT -job_id FROM pgjobs.progress").fetchall()
    return (*jobs, "letters", *letters, "kept", *sorted(kept))


@pytest.fixture(scope="module")
def stage(server: Server) -> Iterator[Stage]:
    url = server.create()
    with stage_on(url, STATES, look_at) as found:
        yield found
    server.drop(url)


OF_RESULTS = {"drop results", "read results"}
WRITE_RESULTS = {"complete with a result", "complete within, with a result", "requeue", "forget", "rescue"}
PAIRS = [
    f"{first} and {second}"
    for first, second in combinations_with_replacement(sorted(ACTIONS), 2)
    if OF_RESULTS.isdisjoint({first, second}) or {first, second} <= OF_RESULTS | WRITE_RESULTS
]


def states_for(pair: str) -> list[str]:
    """List the states in which there is something to do."""
    with_results = not OF_RESULTS.isdisjoint(pair.split(" and ")) or "requeue" in pair
    return [state for state in STATES if with_results or state != "completed with a result"]


@pytest.mark.in_turns(4)
@pytest.mark.parametrize("pair", PAIRS)
def test_what_two_do_at_once_is_what_they_do_one_after_the_other(stage: Stage, pair: str) -> None:
    names = pair.split(" and ")
    for state, (first, second), commit in product(
        states_for(pair), {tuple(names), tuple(reversed(names))}, (True, False)
    ):
        one, two = ACTIONS[first], ACTIONS[second]
        allowed = [stage.alone(state, one, two), stage.alone(state, two, one)] if commit else [stage.alone(state, two)]
        if second in SKIPS_LOCKED:
            allowed.append(stage.alone(state, one) if commit else stage.alone(state))
        found = stage.side_by_side(state, one, two, commit=commit)
        end = "commits" if commit else "rolls back"
        assert found in allowed, f"{state}: {first}, then {second}, then the first {end}"
