"""Ends workflows: those in which no step may run are looked at, and what they call back is enqueued."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgjobs.db.dependencies import EndedJob, release_dependents
from pgjobs.db.refusals import is_refusal
from pgjobs.db.statements import statement
from pgjobs.db.workflow_counts import tell_workflows
from pgjobs.flow.workflow_state import NO_STEPS, StepCounts, WorkflowStatus, called_back, has_ended, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

log = logging.getLogger("pgjobs.workflows")
MAX_ROUNDS = 3
TOGETHER = 100  # workflows in one transaction: a commit takes longer than a look


def end_workflows(
    conn: psycopg.Connection[Any],
    steps: Iterable[int],
    *,
    workflows: Iterable[int] = (),
    busy: Iterable[int] = (),
    patient: bool = False,
) -> bool:
    """Look at the workflows of these steps, which have ended, and at these workflows. Call it once that is committed.

    Two transactions that end the last two steps of a workflow do not see each other: so each looks again after its own
    commit, and the second one sees both. `busy`: workflows in which the same transaction has let steps run: those who
    end these look, so such a workflow is looked at only if it is paused, or to be cancelled. `patient`: wait for
    transactions that have locked a workflow. Else False says that there was one: call it again, soon.
    """
    values = {"ids": list(steps), "workflows": list(workflows), "busy": list(busy)}
    due = sorted(_ids(conn, "due_workflows", **values))  # all lock them in this order
    looked = 0
    for at in range(0, len(due), TOGETHER):
        looked += _look(conn, due[at : at + TOGETHER], patient=patient)
    return looked == len(due)


def end_workflows_later(conn: psycopg.Connection[Any], steps: set[int]) -> None:
    """Do what `end_workflows` does; what another transaction has locked is looked at within a second or so."""
    if steps and not end_workflows(conn, steps):
        with conn.transaction(), conn.cursor() as cursor:
            tell_workflows(cursor, steps)


def check_workflow(conn: psycopg.Connection[Any], workflow: int, *, patient: bool = True) -> WorkflowStatus | None:
    """Find out how a workflow is from its steps, write it down, and call back. None: there is no such workflow.

    `patient`: as for `end_workflows`; None then says that another transaction has locked it, too.
    """
    looks = _look_together(conn, [workflow], patient=patient)
    return looks[0].status if looks else None


def sweep_workflows(conn: psycopg.Connection[Any], *, age: float, batch: int) -> int:
    """Look at unfinished workflows that were not looked at for `age` seconds, and return how many.

    It is the net below the counts: a worker may have died between its commit and its look.
    """
    workflows = _ids(conn, "stale_workflows", age=age, batch=batch)
    for workflow in workflows:
        _look(conn, [workflow], patient=False)
    return len(workflows)


def _look(conn: psycopg.Connection[Any], workflows: list[int], *, patient: bool) -> int:
    """Look at several workflows, and return at how many.

    One whose callback, say, is refused by a trigger counts as well: it is logged, and left to the sweep: the
    worker that looks has other workflows to end.
    """
    from psycopg import Error, errors

    try:
        return len(_look_together(conn, workflows, patient=patient))
    except errors.LockNotAvailable:
        if patient:
            raise
        return 0
    except Error as error:
        if patient or not is_refusal(error):
            raise
        if len(workflows) > 1:
            return sum(_look(conn, [workflow], patient=False) for workflow in workflows)
        log.error(
            "workflow %d cannot be ended, and is tried again in a minute: %s; `pgjobs doctor` names triggers and "
            "foreign keys of others",
            *(workflows[0], str(error).partition("\n")[0]),
        )
        conn.execute(statement("postpone_workflow"), {"workflow": workflows[0]})
        return 1


def _ids(conn: psycopg.Connection[Any], name: str, **values: object) -> list[int]:
    from psycopg.rows import tuple_row

    with conn.cursor(row_factory=tuple_row) as cursor:  # the connection may be a caller's, with rows of another kind
        return [row[0] for row in cursor.execute(statement(name), values).fetchall()]


@dataclass(slots=True)
class _Look:
    """What was found: how a workflow was, and how it is. `counted`: what workflow_counts says.

    `calls`: something is to be enqueued at its end.
    """

    workflow: int
    before: WorkflowStatus
    is_cancelled: bool
    counts: StepCounts = NO_STEPS
    counted: StepCounts = NO_STEPS
    calls: bool = False

    @property
    def status(self) -> WorkflowStatus:
        """How the workflow is, from its steps."""
        return status_of(self.counts, is_cancelled=self.is_cancelled)


def _look_together(conn: psycopg.Connection[Any], workflows: list[int], *, patient: bool) -> list[_Look]:
    """Look at several workflows in one transaction, as far as they can be locked: a few statements for all of them."""
    from psycopg.rows import tuple_row

    lock = "lock_workflows" if patient else "try_lock_workflows"
    with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(statement(lock), {"workflows": workflows}).fetchall()
        looks = {workflow: _Look(workflow, before, reason is not None) for workflow, before, reason, _ in rows}
        for workflow, _, reason, is_paused in rows:
            if reason is not None:
                _cancel_left(cursor, workflow, reason)
            elif is_paused:
                _hold_left(cursor, workflow)
        if looks:
            _examine(cursor, looks)
            _write(cursor, list(looks.values()))
    for look in looks.values():
        _report(look)
    return list(looks.values())


def _report(look: _Look) -> None:
    """Log what has changed, now that it is committed."""
    if look.status == look.before:
        return
    level = logging.WARNING if look.status in ("stuck", "failed") else logging.INFO
    log.log(
        level,
        "workflow %d is %s: %d of %d steps completed",
        *(look.workflow, look.status, look.counts.completed, look.counts.steps),
    )


def _write(cursor: psycopg.Cursor[Any], looks: list[_Look]) -> None:
    """Write what was found, and enqueue what is called back."""
    values: dict[str, list[Any]] = {name: [] for name in StepCounts._fields}
    statuses = [look.status for look in looks]
    ends = [has_ended(status) for status in statuses]
    for look, ended in zip(looks, ends, strict=True):
        counts, counted = look.counts, look.counted
        some = counts if ended else StepCounts(*(found - more for found, more in zip(counts, counted, strict=True)))
        for name, number in zip(StepCounts._fields, some, strict=True):
            values[name].append(number)
    more = {"workflows": [look.workflow for look in looks], "statuses": statuses, "ends": ends}
    cursor.execute(statement("write_workflows"), {**values, **more})
    calling = [(look.workflow, status) for look, status in zip(looks, statuses, strict=True) if look.calls]
    called = [(workflow, kind) for workflow, status in calling if (kind := called_back(status)) is not None]
    if called:
        workflows, kinds = map(list, zip(*called, strict=True))
        cursor.execute(statement("call_back"), {"workflows": workflows, "kinds": kinds})
    done = [workflow for workflow, status in calling if status in ("completed", "cancelled")]
    if done:
        cursor.execute(statement("forget_callbacks"), {"workflows": done})


def _cancel_left(cursor: psycopg.Cursor[Any], workflow: int, reason: str) -> None:
    """Cancel the steps that have not started, as far as no other transaction has them."""
    left = _left(cursor, workflow)
    ids = [row[0] for row in cursor.execute(statement("lock_free_steps"), {"ids": left}).fetchall()] if left else []
    if not ids:
        return
    rows = cursor.execute(statement("cancel_jobs"), {"ids": ids, "reason": reason}).fetchall()
    ended = [EndedJob(job, awaited=awaited, was_active=was_active) for job, awaited, was_active in rows]
    if ended:
        release_dependents(cursor, ended, completed=False, patient=False)


def _hold_left(cursor: psycopg.Cursor[Any], workflow: int) -> None:
    """Hold the steps that became free while the workflow was being paused."""
    ids = _left(cursor, workflow)
    if ids:
        cursor.execute(statement("hold_queued_steps"), {"ids": ids})


def _left(cursor: psycopg.Cursor[Any], workflow: int) -> list[int]:
    return [row[0] for row in cursor.execute(statement("held_steps"), {"workflow": workflow}).fetchall()]


def _examine(cursor: psycopg.Cursor[Any], looks: dict[int, _Look]) -> None:
    """Count the steps, and first write down ends that nothing was written of."""
    left = list(looks)
    for attempt in range(MAX_ROUNDS):
        lost: list[int] = []
        again: list[int] = []
        rows = cursor.execute(statement("examine_workflows"), {"workflows": left}).fetchall()
        for workflow, *counts, gone, counted, calls in rows:
            look = looks[workflow]
            look.counts, look.counted, look.calls = StepCounts(*counts), StepCounts(*counted), calls
            if gone:
                lost += gone
                again.append(workflow)
        if not lost or attempt + 1 == MAX_ROUNDS:
            break
        ended: list[tuple[int, bool | None]] = cursor.execute(statement("how_ended"), {"ids": lost}).fetchall()
        for outcome in (True, False):
            jobs = [EndedJob(job, awaited=True) for job, completed in ended if completed is outcome]
            if jobs:
                release_dependents(cursor, jobs, completed=outcome, patient=False)
        left = again
