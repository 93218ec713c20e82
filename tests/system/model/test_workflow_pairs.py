"""Two transactions on a workflow, stepped by hand: the end of a step beside what operators do to the whole.

As in `test_interleavings.py`, what is in the tables in the end has to be what one of the two orders gives. What workers
do after their commits, and within a second or a sweep, is done first.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs.admin import cancel_jobs, cancel_workflow, pause_workflow, resume_workflow, retry_jobs, retry_workflow
from pgjobs.core.errors import NotFoundError
from pgjobs.db.dependencies import settle_dependencies
from pgjobs.db.statements import statement
from pgjobs.db.workflow_ends import end_workflows_later, sweep_workflows
from pgjobs.effects.own_transaction import STALE
from pgjobs.jobs.outcome import COMPLETED_STEP, Failed
from pgjobs.worker.runtime.completing import Awaited, complete_steps
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import settle
from pgjobs.worker.supervisor.rescue import WorkerExit, settle_dead_worker
from tests.support.rows import letters_of
from tests.system.model.stage import Action, Stage, State, stage_on

if TYPE_CHECKING:
    from tests.support.postgres import Server

pytestmark = pytest.mark.in_turns(3)

FLOW, FIRST, SECOND = 1, 1, 2
WORKER = 11
FENCE = Claim(FIRST, 1)

_ERRORS = """'[{"attempt": 1, "error": "no"}]'"""
_STEP = "INSERT INTO pgjobs.workflow_steps (job_id, workflow_id, node, status, name, needs) VALUES "
_JOB = "INSERT INTO pgjobs.jobs (id, status, held, needs, dependents, max_attempts, task, payload"
_HELD = f"{_JOB}) VALUES (2, 'waiting', 'needs', 1, true, 9, 'a:b', ''); "
_EDGE = "INSERT INTO pgjobs.dependencies (needs_id, job_id, settled) VALUES (1, 2, true); "
_RUNS = f"{_JOB}, claims, attempt, worker_id) VALUES (1, 'running', NULL, NULL, true, 1, 'a:b', '', 1, 1, 11); "


def _flow(status: str = "running", active: int = 1, **more: str) -> str:
    names, values = "".join(f", {name}" for name in more), "".join(f", {value}" for value in more.values())
    return (
        f"INSERT INTO pgjobs.workflows (id, name, status, steps, active{names}) "
        f"VALUES (1, 'flow', '{status}', 2, {active}{values}); "
        "INSERT INTO pgjobs.workflow_callbacks (workflow_id, kind, queue, priority, max_attempts, task, payload) "
        "VALUES (1, 'on_completed', 'default', 5, 1, 'a:yes', ''), (1, 'on_failure', 'default', 5, 1, 'a:no', ''); "
    )


STATES = {
    "the first runs": _flow()
    + f"{_STEP} (1, 1, 1, NULL, 'a', NULL), (2, 1, 2, NULL, 'b', '{{1}}'); {_RUNS}{_HELD}{_EDGE}",
    "it is paused": _flow(paused_at="now()")
    + f"{_STEP} (1, 1, 1, NULL, 'a', NULL), (2, 1, 2, NULL, 'b', '{{1}}'); {_RUNS}{_HELD}{_EDGE}",
    "the second is queued": _flow(completed="1")
    + f"{_STEP} (1, 1, 1, 'completed', 'a', NULL), (2, 1, 2, NULL, 'b', '{{1}}'); "
    f"{_JOB}, finished_at) VALUES (1, 'completed', NULL, NULL, NULL, 1, 'a:b', '', now()); "
    f"{_JOB}) VALUES (2, 'queued', NULL, NULL, true, 9, 'a:b', '')",
    "the first has failed": _flow("stuck", 0, failed="1")
    + f"{_STEP} (1, 1, 1, 'failed', 'a', NULL), (2, 1, 2, NULL, 'b', '{{1}}'); {_HELD}{_EDGE}"
    f"WITH f AS ({_JOB}, finished_at, errors, attempt) "
    f"VALUES (1, 'failed', NULL, NULL, NULL, 1, 'a:b', '', now(), {_ERRORS}, 1) RETURNING *) "
    f"INSERT INTO pgjobs.dead_jobs {letters_of('f')}",
}


def _complete(conn: psycopg.Connection) -> None:
    complete_steps(conn.cursor(), WORKER, {FENCE: COMPLETED_STEP}, Awaited())


def _hand_over(conn: psycopg.Connection) -> None:
    rooms: dict[str, int] = {"default": 1}
    complete_steps(conn.cursor(), WORKER, {FENCE: COMPLETED_STEP}, Awaited(), rooms=rooms, claimed=[])


def _complete_within(conn: psycopg.Connection) -> None:
    try:
        with conn.transaction():
            conn.execute(statement("complete_within"), {"id": FIRST, "claim_number": 1})
    except psycopg.Error as error:
        if error.sqlstate != STALE:  # else the job's transaction rolls back
            raise


def _unless_ended(action: Action) -> Action:
    def act(conn: psycopg.Connection) -> None:
        try:
            with conn.transaction():
                action(conn)
        except NotFoundError:
            pass  # "There is no workflow 1 that has not ended."

    return act


ENDS: dict[str, Action] = {
    "complete": _complete,
    "complete and run the next": _hand_over,
    "complete in its own transaction": _complete_within,
    "fail": lambda conn: settle(conn.cursor(), WORKER, "host", [(FENCE, Failed("no"))]),
    "rescue": lambda conn: settle_dead_worker(conn, WorkerExit(WORKER, "killed by SIGKILL", frozenset({FENCE}))),
    "cancel the first": lambda conn: cancel_jobs(conn, [FIRST]),
    "cancel the second": lambda conn: cancel_jobs(conn, [SECOND]),
    "put the first back": lambda conn: retry_jobs(conn, [FIRST]),
}
OPERATIONS: dict[str, Action] = {
    "pause": _unless_ended(lambda conn: pause_workflow(conn, FLOW)),
    "resume": _unless_ended(lambda conn: resume_workflow(conn, FLOW)),
    "cancel": _unless_ended(lambda conn: cancel_workflow(conn, FLOW)),
    "retry": lambda conn: retry_workflow(conn, FLOW),
    "retry all after it": lambda conn: retry_workflow(conn, FLOW, what="after"),
}


def look_at(conn: psycopg.Connection) -> State:
    """Do what workers do later, and return what matters."""
    for _ in range(2):
        steps = {FIRST, SECOND}
        with conn.transaction(), conn.cursor() as cursor:
            settle_dependencies(cursor, 0, steps)
        end_workflows_later(conn, steps)
    sweep_workflows(conn, age=60, batch=10)
    jobs = conn.execute(
        "SELECT CASE WHEN id < 100 THEN id END, task, status, held, needs, cancel_reason FROM pgjobs.jobs "
        "WHERE status <> 'completed' OR id < 100"
    ).fetchall()
    flows = conn.execute(
        "SELECT w.status, w.paused_at IS NULL, w.cancelled_at IS NULL, w.active + coalesce(sum(c.active), 0)::int, "
        "w.completed + coalesce(sum(c.completed), 0)::int, w.failed + coalesce(sum(c.failed), 0)::int, "
        "w.cancelled + coalesce(sum(c.cancelled), 0)::int "
        "FROM pgjobs.workflows AS w LEFT JOIN pgjobs.workflow_counts AS c ON c.workflow_id = w.id GROUP BY w.id"
    ).fetchall()
    steps_now = conn.execute("SELECT name, status FROM pgjobs.workflow_steps").fetchall()
    edges = conn.execute("SELECT needs_id, job_id, settled FROM pgjobs.dependencies").fetchall()
    return tuple(tuple(sorted(rows, key=repr)) for rows in (jobs, flows, steps_now, edges))


@pytest.fixture(scope="module")
def stage(server: Server) -> Iterator[Stage]:
    url = server.create()
    with psycopg.connect(url) as conn:  # what is called back gets other ids than the steps
        conn.execute("SELECT setval(pg_get_serial_sequence('pgjobs.jobs', 'id'), 100)")
    with stage_on(url, STATES, look_at) as found:
        yield found
    server.drop(url)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_step_beside_an_operation_on_its_workflow_is_one_before_or_after_it(
    stage: Stage, end: str, operation: str
) -> None:
    pair = {end: ENDS[end], operation: OPERATIONS[operation]}
    for state, (first, second), commit in product(STATES, permutations(pair), (True, False)):
        one, two = pair[first], pair[second]
        allowed = [stage.alone(state, one, two), stage.alone(state, two, one)] if commit else [stage.alone(state, two)]
        if second == "rescue":  # it leaves what is locked for the next time
            allowed.append(stage.alone(state, one) if commit else stage.alone(state))
        found = stage.side_by_side(state, one, two, commit=commit)
        assert found in allowed, f"{state}: {first}, then {second}, commit={commit}"
