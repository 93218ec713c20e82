"""What follows from the end of a job that others wait for, or whose sequence ends with it.

All of it happens in the transaction that writes the end. It costs a statement only if another job depends on
it: the statements that write an end return those jobs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.db.statements import statement
from pgjobs.db.workflow_counts import StepChange, count_steps, tell_workflows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

log = logging.getLogger("pgjobs.dependencies")
BEGINNING = (-(2**63), 0)
"""Before all dependencies, for `sweep_dependencies`."""


class EndedJob(NamedTuple):
    """A job that has ended.

    `awaited`: others wait for it, or a workflow. `ends_sequence`: the other jobs of its sequence end with it.
    `is_skipped`: those that wait for it go on as if it had completed. `was_active`: it might have run before its end.
    """

    id: int
    awaited: bool | None
    ends_sequence: bool | None = False
    is_skipped: bool = False
    was_active: bool = True


def release_dependents(
    cursor: psycopg.Cursor[Any], ended_jobs: Iterable[EndedJob], *, completed: bool, patient: bool = True
) -> set[int]:
    """Release or cancel the jobs that wait for these, and those that wait for them in turn; wake their workers.

    Returns the steps among all that have ended: look at their workflows after the commit.

    `completed`: how they ended; False: they failed, or were cancelled. Call it in the transaction of their end.
    `patient`: wait for rows that other transactions have locked. Without it these are left to `settle_dependencies`,
    and named in the log.
    """
    queues: set[str] = set()
    postponed: set[int] = set()
    changes: list[StepChange] = []
    ended_jobs = list(ended_jobs)
    rounds = [
        ([end for end in ended_jobs if not end.is_skipped], completed),
        ([end for end in ended_jobs if end.is_skipped], True),
    ]
    while rounds:
        ended_jobs, completed = rounds.pop()
        awaited = [end for end in ended_jobs if end.awaited]
        letters = [end.id for end in ended_jobs if end.ends_sequence]
        cancelled: list[EndedJob] = []
        if awaited:
            changes += [_end_of_step(end, completed=completed) for end in awaited]
            values = {"ids": [end.id for end in awaited], "patient": patient}
            rows = cursor.execute(statement("release_dependents"), {**values, "completed": completed}).fetchall()
            queues.update(queue for _, queue, status, held in rows if status is not None and held is None)
            postponed.update(job for job, _, status, _ in rows if status is None)
            changes += [StepChange(job, 1, None) for job, _, status, held in rows if status and held != "needs"]
            if not completed:
                cancelled += _cancelled(cursor, "cancel_dependents", values, postponed)
        if letters:
            cancelled += _cancelled(cursor, "end_sequences", {"letters": letters}, postponed)
        if cancelled:
            rounds.append(([end for end in cancelled if not end.is_skipped], False))
            rounds.append(([end for end in cancelled if end.is_skipped], True))
    steps = count_steps(cursor, changes) if changes else set()
    if queues:  # jobs that now wait for their turn were updated, and only an INSERT rings
        cursor.execute(statement("notify_queues"), {"queues": sorted(queues)})
    if postponed:
        log.info(
            "%d jobs that are to be released or cancelled are locked by other transactions, and are tried again: %s",
            len(postponed),
            ", ".join(map(str, sorted(postponed)[:20])),
        )
    return steps


def settle_dependencies(cursor: psycopg.Cursor[Any], after: int = 0, steps: set[int] | None = None) -> int:
    """Mark the jobs that a job of another transaction waits for, and do what was left because a row was locked.

    An enqueue locks no rows of others, so a worker does this after its commit. If a needed job has ended meanwhile, its
    dependents are released here. Call it first in a transaction.

    `after`: looks only at dependencies on jobs with larger ids. Returns where to continue the next time: there may be
    more of them than one call looks at, and some may stay locked for long. `steps` gets the steps of workflows that
    have ended meanwhile: look at those after the commit.
    """
    cursor.execute(statement("mark_awaited"), {"after": after})
    rows: Sequence[tuple[int, bool | None]] = cursor.execute(
        statement("settle_dependencies"), {"after": after}
    ).fetchall()
    for outcome in (True, False):
        ended_jobs = [EndedJob(job, awaited=True) for job, completed in rows if completed is outcome]
        if ended_jobs:
            found = release_dependents(cursor, ended_jobs, completed=outcome, patient=False)
            if steps is not None:
                steps |= found
    cancelled = _cancelled(cursor, "end_sequences", {"letters": None}, set())
    found = release_dependents(cursor, cancelled, completed=False, patient=False)
    if steps is not None:
        steps |= found
    return next((job for job, completed in rows if completed is None), 0)


def sweep_dependencies(
    conn: psycopg.Connection[Any], after: tuple[int, int], batch: int
) -> tuple[tuple[int, int] | None, int]:
    """Put right what a worker of an earlier version left, of the next dependencies after (needed job, job).

    The jobs that wait for one that has ended are released or cancelled, and dependencies of jobs that are gone are
    deleted. Returns after which to continue, or None at the end, and on how many ended jobs others still waited.
    """
    values = {"after_needs": after[0], "after_job": after[1], "batch": batch}
    with conn.transaction(), conn.cursor() as cursor:
        rows: Sequence[tuple[int, int, bool | None, bool]] = cursor.execute(
            statement("left_dependencies"), values
        ).fetchall()
        ended = {needed: completed for needed, _, completed, _ in rows if completed is not None}
        for outcome in (True, False):
            ended_jobs = [EndedJob(job, awaited=True) for job, completed in ended.items() if completed is outcome]
            if ended_jobs:
                tell_workflows(cursor, release_dependents(cursor, ended_jobs, completed=outcome, patient=False))
    lost = [(needed, job) for needed, job, _, is_lost in rows if is_lost]
    if lost:
        needs_ids, job_ids = zip(*lost, strict=True)
        conn.execute(statement("purge_dependencies"), {"needs_ids": list(needs_ids), "job_ids": list(job_ids)})
    return (rows[-1][:2] if len(rows) == batch else None), len(ended)


def _cancelled(cursor: psycopg.Cursor[Any], name: str, values: dict[str, Any], postponed: set[int]) -> list[EndedJob]:
    """Run a statement that cancels jobs, and return those; add the ones that it leaves to `postponed`."""
    rows = cursor.execute(statement(name), values).fetchall()
    postponed.update(job for job, _, is_postponed, _, _ in rows if is_postponed)
    return [
        EndedJob(job, awaited, is_skipped=is_skipped, was_active=was_active)
        for job, awaited, is_postponed, is_skipped, was_active in rows
        if not is_postponed
    ]


def _end_of_step(end: EndedJob, *, completed: bool) -> StepChange:
    how = "skipped" if end.is_skipped else "completed" if completed else "lost"
    return StepChange(end.id, -1 if end.was_active else 0, how)
