"""Two transactions on a job and on one that waits for it, stepped by hand: no job waits for what has ended.

As in test_interleavings.py, what is in the tables in the end has to be what one of the two orders gives. What a locked
row left undone is done first, as workers do it later (`settle_dependencies`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs import enqueue
from pgjobs.admin import cancel_jobs, retry_jobs
from pgjobs.db.dependencies import BEGINNING, settle_dependencies, sweep_dependencies
from pgjobs.jobs.outcome import Failed, Outcome
from pgjobs.worker.runtime.completing import complete
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import settle
from tests.support.functions import add
from tests.support.rows import letters_of
from tests.system.model.stage import Action, Stage, State, stage_on

if TYPE_CHECKING:
    from tests.support.postgres import Server

NEEDED, WAITS = 1, 2
WORKER = 11
FENCE = Claim(NEEDED, 1)

_COLUMNS = "id, claims, attempt, max_attempts, status, task, payload, worker_id, finished_at, errors, dependents"
_ERRORS = """'[{"attempt": 1, "error": "no"}]'"""


def _waits(settled: str) -> str:
    return (
        "; INSERT INTO pgjobs.jobs (id, max_attempts, status, task, payload, held, needs) "
        "VALUES (2, 2, 'waiting', 'a:b', '', 'needs', 1); "
        f"INSERT INTO pgjobs.dependencies (needs_id, job_id, settled) VALUES (1, 2, {settled})"
    )


def _needed(status: str, dependents: str = "NULL") -> str:
    ended = "now()" if status in ("completed", "failed") else "NULL"
    values = f"(1, 1, 1, 2, '{status}', 'a:b', '', 11, {ended}, {_ERRORS}, {dependents})"
    row = f"INSERT INTO pgjobs.jobs ({_COLUMNS}) VALUES {values}"
    if status != "failed":
        return row
    return f"WITH f AS ({row} RETURNING *) INSERT INTO pgjobs.dead_jobs {letters_of('f')}"


_CANCELLED = (
    "; INSERT INTO pgjobs.jobs (id, max_attempts, status, task, payload, finished_at) "
    "VALUES (2, 2, 'cancelled', 'a:b', '', now()); "
    "INSERT INTO pgjobs.dependencies (needs_id, job_id, settled) VALUES (1, 2, true)"
)
STATES = {
    "no job waits": _needed("running"),
    "it was told": _needed("running", "true") + _waits("true"),
    "it was not told yet": _needed("running") + _waits("false"),
    "it failed before it was told": _needed("failed") + _waits("false"),
    "what waited was cancelled": _needed("running", "true") + _CANCELLED,
}


def settle_all(conn: psycopg.Connection) -> None:
    """Do what workers do later."""
    for _ in range(2):
        with conn.transaction(), conn.cursor() as cursor:
            settle_dependencies(cursor)


def _outcome(outcome: Outcome) -> Action:
    return lambda conn: settle(conn.cursor(), WORKER, "host", [(FENCE, outcome)])


OF_THE_NEEDED: dict[str, Action] = {
    "complete": lambda conn: complete(conn.cursor(), WORKER, [NEEDED], [1]),
    "complete what is free": lambda conn: complete(conn.cursor(), WORKER, [NEEDED], [1], patient=False),
    "fail": _outcome(Failed("no")),
    "cancel": lambda conn: cancel_jobs(conn, [NEEDED]),
    "requeue": lambda conn: retry_jobs(conn, [NEEDED]),
    "settle": lambda conn: settle_dependencies(conn.cursor()),
    "sweep": lambda conn: sweep_dependencies(conn, BEGINNING, 100),
}
OF_WHAT_WAITS: dict[str, Action] = {
    "one more waits": lambda conn: enqueue(conn, add.options(after=[NEEDED]), 1),
    "cancel what waits": lambda conn: cancel_jobs(conn, [WAITS]),
    "requeue what waits": lambda conn: retry_jobs(conn, [WAITS]),
}


def look_at(conn: psycopg.Connection) -> State:
    settle_all(conn)
    needed = conn.execute("SELECT status FROM pgjobs.jobs WHERE id = 1").fetchall()
    others = conn.execute("SELECT status FROM pgjobs.jobs WHERE id <> 1 ORDER BY status").fetchall()
    edges = conn.execute("SELECT settled FROM pgjobs.dependencies ORDER BY settled").fetchall()
    return needed, others, edges


@pytest.fixture(scope="module")
def stage(server: Server) -> Iterator[Stage]:
    url = server.create()
    with psycopg.connect(url) as conn:  # the jobs that are enqueued get other ids than those of the states
        conn.execute("SELECT setval(pg_get_serial_sequence('pgjobs.jobs', 'id'), 100)")
    with stage_on(url, STATES, look_at) as found:
        yield found
    server.drop(url)


@pytest.mark.in_turns(4)
@pytest.mark.parametrize("needed", OF_THE_NEEDED)
@pytest.mark.parametrize("waits", OF_WHAT_WAITS)
def test_what_waits_is_where_one_of_the_two_orders_leaves_it(stage: Stage, needed: str, waits: str) -> None:
    pair = {needed: OF_THE_NEEDED[needed], waits: OF_WHAT_WAITS[waits]}
    for state, (first, second), commit in product(STATES, permutations(pair), (True, False)):
        one, two = pair[first], pair[second]
        allowed = [stage.alone(state, one, two), stage.alone(state, two, one)] if commit else [stage.alone(state, two)]
        found = stage.side_by_side(state, one, two, commit=commit)
        end = "commits" if commit else "rolls back"
        assert found in allowed, f"{state}: {first}, then {second}, then the first {end}"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("ends", "status"), [("complete", "queued"), ("fail", "waiting")])
def test_what_waits_knows_the_end(stage: Stage, state: str, ends: str, status: str) -> None:
    more, again, end = OF_WHAT_WAITS["one more waits"], OF_WHAT_WAITS["requeue what waits"], OF_THE_NEEDED[ends]
    for actions in ((more, again, end), (more, end, again)):
        _, others, _ = stage.alone(state, *actions)
        assert set(others) == {("waiting" if "it failed" in state else status,)}
