"""Ends workflows: those in which no step may run are looked at, and what they call back is enqueued."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pgjobs.db.dependencies import EndedJob, release_dependents
from pgjobs.db.statements import statement
from pgjobs.flow.workflow_state import StepCounts, WorkflowStatus, called_back, has_ended, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

log = logging.getLogger("pgjobs.workflows")
MAX_ROUNDS = 3


def end_workflows(conn: psycopg.Connection[Any], jobs: Iterable[int]) -> None:
    """Look at the workflows of these jobs, which have ended. Call it once that is committed.

    Two transactions that end the last two steps of a workflow do not see each other: so each looks again after its own
    commit, and the second one sees both.
    """
    for workflow in _ids(conn, "due_workflows", ids=list(jobs)):
        check_workflow(conn, workflow)


def check_workflow(conn: psycopg.Connection[Any], workflow: int) -> WorkflowStatus | None:
    """Find out how a workflow is from its steps, write it down, and call back. None: there is no such workflow."""
    from psycopg.rows import tuple_row

    with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(statement("lock_workflow"), {"workflow": workflow}).fetchone()
        if row is None:
            return None
        before, reason = row
        if reason is not None:
            _cancel_left(cursor, workflow, reason)
        counts, counted = _examine(cursor, workflow)
        status = status_of(counts, is_cancelled=reason is not None)
        _write(cursor, workflow, status, counts, counted)
    if status != before:
        level = logging.WARNING if status in ("stuck", "failed") else logging.INFO
        log.log(level, "workflow %d is %s: %d of %d steps completed", workflow, status, counts.completed, counts.steps)
    return status


def sweep_workflows(conn: psycopg.Connection[Any], *, age: float, batch: int) -> int:
    """Look at unfinished workflows that were not looked at for `age` seconds, and return how many.

    It is the net below the counts: a worker may have died between its commit and its look.
    """
    workflows = _ids(conn, "stale_workflows", age=age, batch=batch)
    for workflow in workflows:
        check_workflow(conn, workflow)
    return len(workflows)


def _ids(conn: psycopg.Connection[Any], name: str, **values: object) -> list[int]:
    from psycopg.rows import tuple_row

    with conn.cursor(row_factory=tuple_row) as cursor:  # the connection may be a caller's, with rows of another kind
        return [row[0] for row in cursor.execute(statement(name), values).fetchall()]


def _write(
    cursor: psycopg.Cursor[Any], workflow: int, status: WorkflowStatus, counts: StepCounts, counted: StepCounts
) -> None:
    """Write what was found, and enqueue what is called back."""
    ended = has_ended(status)
    values = counts if ended else StepCounts(*(found - more for found, more in zip(counts, counted, strict=True)))
    more = {"workflow": workflow, "status": status, "ended": ended}
    cursor.execute(statement("write_workflow"), {**values._asdict(), **more})
    kind = called_back(status)
    if kind is not None:
        cursor.execute(statement("call_back"), {"workflow": workflow, "kind": kind})
    if status in ("completed", "cancelled"):
        cursor.execute(statement("forget_callbacks"), {"workflow": workflow})


def _cancel_left(cursor: psycopg.Cursor[Any], workflow: int, reason: str) -> None:
    """Cancel the steps that have not started, as far as no other transaction has them."""
    ids = [row[0] for row in cursor.execute(statement("held_steps"), {"workflow": workflow}).fetchall()]
    if not ids:
        return
    rows = cursor.execute(statement("cancel_jobs"), {"ids": ids, "reason": reason}).fetchall()
    ended = [EndedJob(job, awaited=awaited, was_active=was_active) for job, awaited, was_active in rows]
    if ended:
        release_dependents(cursor, ended, completed=False, patient=False)


def _examine(cursor: psycopg.Cursor[Any], workflow: int) -> tuple[StepCounts, StepCounts]:
    """Count the steps, and first write down ends that nothing was written of. Also return what was counted."""
    for attempt in range(MAX_ROUNDS):
        *counts, lost, counted = cursor.execute(statement("examine_workflow"), {"workflow": workflow}).fetchall()[0]
        if not lost or attempt + 1 == MAX_ROUNDS:
            break
        ended: list[tuple[int, bool | None]] = cursor.execute(statement("how_ended"), {"ids": lost}).fetchall()
        for outcome in (True, False):
            jobs = [EndedJob(job, awaited=True) for job, completed in ended if completed is outcome]
            if jobs:
                release_dependents(cursor, jobs, completed=outcome, patient=False)
    return StepCounts(*counts), StepCounts(*counted)
