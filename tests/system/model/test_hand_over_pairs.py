"""What ends a job and starts the next one, beside what others do: as in `test_interleavings`, with shared keys.

A hand over takes no lock of a key. That is right only if no order of steps leads to more than one order gives: two jobs
of a sequence at once, more jobs of a limit than may run, or a job that another one has to go before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs.admin import (
    cancel_jobs,
    pause_everything,
    pause_queue,
    pause_task,
    remove_limit,
    replay_dead,
    retry_jobs,
    set_jobs,
    set_limit,
    set_queue_limit,
)
from pgjobs.db.statements import statement
from pgjobs.flow.limits import LimitSettings
from pgjobs.jobs.outcome import RELEASED, Failed, Outcome, Retried
from pgjobs.worker.acknowledge.hand_over import statement_for
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.claim.lane_claims import LaneClaims
from pgjobs.worker.local.local_queue import LocalQueue
from pgjobs.worker.runtime.completing import complete
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import settle
from pgjobs.worker.supervisor.rescue import WorkerExit, settle_dead_worker
from tests.support.rows import letters_of
from tests.system.model.stage import Action, Stage, State, stage_on

if TYPE_CHECKING:
    from tests.support.postgres import Server

pytestmark = pytest.mark.in_turns(3)

FIRST, SECOND = 11, 12  # workers; the first runs job 1, the second runs job 5, where there is one
RUNNING = [(1, FIRST), (5, SECOND)]
FENCE = Claim(1, 1)
_SEQUENCE, _LIMIT = "E'\\x1f\\x1fs\\x1f', NULL, 's'", "E'\\x1fapi\\x1f\\x1f', 'api', NULL"


def _jobs(keys: str, *, running: tuple[int, ...] = (), waiting: tuple[int, ...] = (), ended: str = "") -> str:
    rows = [
        *(
            f"({job}, 'running', 1, 1, {FIRST if job == 1 else SECOND}, NULL::timestamptz, 5, {keys})"
            for job in running
        ),
        *(f"({job}, 'waiting', 0, 0, NULL::bigint, NULL::timestamptz, 5, {keys})" for job in waiting),
        *([f"(0, '{ended}', 1, 1, NULL::bigint, now(), 5, {keys})"] if ended else []),
    ]
    return (
        "INSERT INTO pgjobs.jobs (id, status, claims, attempt, worker_id, finished_at, max_attempts, lane, limit_key,"
        " sequence, task, payload, run_at) "
        "SELECT v.*, 'a:b', '', now() - interval '1 h' + column1 * interval '1 min'"
        f" FROM (VALUES {', '.join(rows)}) AS v;"
        f" INSERT INTO pgjobs.dead_jobs {letters_of('pgjobs.jobs')} WHERE f.status = 'failed';"
        " INSERT INTO pgjobs.key_locks (kind, name) VALUES ('sequence', 's'), ('limit', 'api');"
        " INSERT INTO pgjobs.queues (name) VALUES ('default');"
        " INSERT INTO pgjobs.limits (name, concurrency) VALUES ('api', 2)"
    )


CALM, FULL, LOWERED = "a limit with room", "a limit without room", "a limit that was lowered"
STATES = {
    "a sequence": _jobs(_SEQUENCE, running=(1,), waiting=(2, 3)),
    "a sequence whose first job was cancelled": _jobs(_SEQUENCE, running=(1,), waiting=(2, 3), ended="cancelled"),
    "a sequence with a dead letter": _jobs(_SEQUENCE, running=(1,), waiting=(2, 3), ended="failed"),
    "a sequence of which nothing runs": _jobs(_SEQUENCE, waiting=(2, 3), ended="cancelled"),
    CALM: _jobs(_LIMIT, running=(1,), waiting=(2, 3, 4)),
    FULL: _jobs(_LIMIT, running=(1, 5), waiting=(2, 3, 4)),
    LOWERED: _jobs(_LIMIT, running=(1, 5, 6), waiting=(2, 3, 4)),
    "a limit, and a job before": _jobs(_LIMIT, running=(1,), waiting=(2, 3), ended="cancelled"),
}


def _hand_over(job: int, worker: int, *, claims: bool = True) -> Action:
    def act(conn: psycopg.Connection) -> None:
        row = conn.execute("SELECT lane FROM pgjobs.jobs WHERE id = %s", [job]).fetchone()
        name = statement_for(row[0], 0.0, 1.0) if row and claims else None
        complete(conn.cursor(), worker, [job], [1], controlled=True, claiming=name, claimed=[])

    return act


class _Pausing(psycopg.Cursor[Any]):
    """Calls `then` once, before the statement that claims."""

    then: Callable[[], object] | None = None

    def execute(self, query: Any, *arguments: Any, **keywords: Any) -> Any:
        if query == statement("claim_waiting"):
            self.continue_()
        return super().execute(query, *arguments, **keywords)

    def continue_(self) -> None:
        then, self.then = self.then, None
        if then is not None:
            then()


def _claim_around(conn: psycopg.Connection, then: Callable[[], object] | None = None) -> None:
    """Claim what has room; between the look at lanes and the claim, something else happens."""
    queue = LocalQueue("default", 9, 0)
    with _Pausing(conn) as cursor:
        cursor.then = then
        LaneClaims("default", Intake(queue, SimpleQueue()), SECOND).claim_rows(cursor, 9, 9, datetime.now(UTC))
        cursor.continue_()  # nothing had room
    queue.close()


def _outcome(outcome: Outcome) -> Action:
    return lambda conn: settle(conn.cursor(), FIRST, "host", [(FENCE, outcome)])


_end_alone, _end_another_alone = (_hand_over(*each, claims=False) for each in RUNNING)
ANOTHER = "hand over by another worker"
ACTIONS: dict[str, Action] = {
    "hand over": _hand_over(*RUNNING[0]),
    ANOTHER: _hand_over(*RUNNING[1]),
    "claim": _claim_around,
    "retry": _outcome(Retried("no", 0.0)),
    "fail": _outcome(Failed("no")),
    "hand back": _outcome(RELEASED),
    "rescue": lambda conn: settle_dead_worker(conn, WorkerExit(FIRST, "killed by SIGKILL", frozenset({FENCE}))),
    "cancel what ends": lambda conn: cancel_jobs(conn, [1]),
    "cancel what is next": lambda conn: cancel_jobs(conn, [2]),
    "put the first one back": lambda conn: retry_jobs(conn, [0]),
    "replay the first one": lambda conn: replay_dead(conn, [0]),
    "prefer another": lambda conn: set_jobs(conn, [3], priority=1),
    "raise the limit": lambda conn: set_limit(conn, "api", LimitSettings(3)),
    "lower the limit": lambda conn: set_limit(conn, "api", LimitSettings(1)),
    "remove the limit": lambda conn: remove_limit(conn, "api"),
    "limit the queue": lambda conn: set_queue_limit(conn, "default", LimitSettings(1)),
    "pause the queue": lambda conn: pause_queue(conn, "default"),
    "pause everything": pause_everything,
    "pause the task": lambda conn: pause_task(conn, "a:b"),
}
OTHERS = list(ACTIONS)
LEFT_TO_CLAIMS = {"cancel what is next"}  # they lock the job that would start


def look_at(conn: psycopg.Connection) -> State:
    """Return what matters. Which job of a lane starts first does not, where one skips what another has locked."""
    rows = conn.execute(
        "SELECT CASE WHEN id < 2 OR sequence IS NOT NULL THEN id END, status, attempt, claims, "
        "CASE status WHEN 'running' THEN worker_id END, priority, cancel_reason FROM pgjobs.jobs"
    ).fetchall()
    return tuple(sorted(rows, key=repr))


@pytest.fixture(scope="module")
def stage(server: Server) -> Iterator[Stage]:
    url = server.create()
    with stage_on(url, STATES, look_at) as found:
        yield found
    server.drop(url)


def states_for(other: str) -> list[str]:
    """List the states in which there is something to do."""
    return [
        state
        for state in STATES
        if not (other.endswith("the limit") and "sequence" in state)
        and not (other.endswith("another worker") and "sequence" in state)
        and not (other.endswith("first one") and state in (CALM, FULL, LOWERED))
    ]


@pytest.mark.parametrize("other", OTHERS)
def test_a_hand_over_beside_something_else_is_one_before_or_after_it(stage: Stage, other: str) -> None:
    for state, commit, turned in product(states_for(other), (True, False), (False, True)):
        first, second = (other, "hand over") if turned else ("hand over", other)
        one, two = ACTIONS[first], ACTIONS[second]
        allowed = [stage.alone(state, one, two), stage.alone(state, two, one)] if commit else [stage.alone(state, two)]
        if second == "rescue":  # it leaves what is locked for the next time
            allowed.append(stage.alone(state, one) if commit else stage.alone(state))
        if turned and other in LEFT_TO_CLAIMS:
            allowed.append(stage.alone(state, *([one, _end_alone] if commit else [_end_alone])))
        if state == LOWERED and other == ANOTHER:  # each of them counts the job that the other one ends
            allowed.append(stage.alone(state, _end_alone, _end_another_alone))
        found = stage.side_by_side(state, one, two, commit=commit)
        end = "commits" if commit else "rolls back"
        assert found in allowed, f"{state}: {first}, then {second}, then the first {end}"


@pytest.mark.parametrize("other", OTHERS)
def test_something_between_the_two_looks_of_a_claim_is_before_or_after_it(stage: Stage, other: str) -> None:
    for state in states_for(other):
        one, two = ACTIONS["claim"], ACTIONS[other]
        allowed = [stage.alone(state, one, two), stage.alone(state, two, one)]
        if other in ("put the first one back", "cancel what is next"):  # the head of the sequence is another one now
            allowed.append(stage.alone(state, two))
        assert stage.in_between(state, _claim_around, two) in allowed, state
