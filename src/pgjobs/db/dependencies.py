"""What follows from the end of a job that others wait for, or whose sequence ends with it.

All of it happens in the transaction that writes the end. It costs a statement only if another job depends on
it: the statements that write an end return those jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.db.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg


class EndedJob(NamedTuple):
    """A job that has ended.

    `awaited`: others wait for it. `sequence`: the sequence that ends with it (None: no sequence ends).
    """

    id: int
    awaited: bool | None
    sequence: str | None = None


def release_dependents(cursor: psycopg.Cursor[Any], ended_jobs: Iterable[EndedJob], *, completed: bool) -> None:
    """Release or cancel the jobs that wait for these, and those that wait for them in turn; wake their workers.

    `completed`: how they ended; False: they failed, or were cancelled. Call it in the transaction of their end.
    """
    queues: set[str] = set()
    ended_jobs = list(ended_jobs)
    while ended_jobs:
        awaited = [end.id for end in ended_jobs if end.awaited]
        ended_by_sequence = {end.sequence: end.id for end in ended_jobs if end.sequence is not None}
        cancelled: list[tuple[Any, ...]] = []
        if awaited:
            values = {"ids": awaited, "completed": completed}
            rows = cursor.execute(statement("release_dependents"), values).fetchall()
            queues.update(queue for _, queue, _, held in rows if held is None)
            if not completed:
                cancelled += cursor.execute(statement("cancel_dependents"), {"ids": awaited}).fetchall()
        if ended_by_sequence:
            values = {"sequences": list(ended_by_sequence), "ids": list(ended_by_sequence.values())}
            cancelled += cursor.execute(statement("end_sequences"), values).fetchall()
        ended_jobs, completed = [EndedJob(*row) for row in cancelled], False
    if queues:  # jobs that now wait for their turn were updated, and only an INSERT rings
        cursor.execute(statement("notify_queues"), {"queues": sorted(queues)})


def settle_dependencies(cursor: psycopg.Cursor[Any]) -> None:
    """Mark the jobs that a job of another transaction waits for.

    An enqueue locks no rows of others, so a worker does this after its commit. If a needed job has ended meanwhile, its
    dependents are released here. Call it first in a transaction.
    """
    cursor.execute(statement("mark_awaited"))
    rows: Sequence[tuple[int, bool]] = cursor.execute(statement("settle_dependencies")).fetchall()
    for outcome in (True, False):
        ended_jobs = [EndedJob(job, awaited=True) for job, completed in rows if completed is outcome]
        if ended_jobs:
            release_dependents(cursor, ended_jobs, completed=outcome)
