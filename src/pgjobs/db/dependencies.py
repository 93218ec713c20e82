"""What follows from the end of a job that others wait for, or whose sequence ends with it.

All of it happens in the transaction that writes the end. It costs a statement only where there is somebody to tell:
the statements that write an end say who that is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.db.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg


class End(NamedTuple):
    """A job that has ended.

    `awaited`: others wait for it. `sequence`: the sequence that ends with it (None: none does).
    """

    id: int
    awaited: bool | None
    sequence: str | None = None


def follow(cursor: psycopg.Cursor[Any], ends: Iterable[End], *, completed: bool) -> None:
    """Release, or cancel, what waits for these jobs, and what waits for that; wake those who can run it.

    `completed`: how they ended; False: they failed, or were cancelled. To be called in the transaction of their end.
    """
    queues: set[str] = set()
    news = list(ends)
    while news:
        awaited = [end.id for end in news if end.awaited]
        ended = {end.sequence: end.id for end in news if end.sequence is not None}
        cancelled: list[tuple[Any, ...]] = []
        if awaited:
            values = {"ids": awaited, "completed": completed}
            rows = cursor.execute(statement("release_dependents"), values).fetchall()
            queues.update(queue for _, queue, _, held in rows if held is None)
            if not completed:
                cancelled += cursor.execute(statement("cancel_dependents"), {"ids": awaited}).fetchall()
        if ended:
            values = {"sequences": list(ended), "ids": list(ended.values())}
            cancelled += cursor.execute(statement("end_sequences"), values).fetchall()
        news, completed = [End(*row) for row in cancelled], False
    if queues:  # what goes on to where turns are taken is no INSERT, which would ring
        cursor.execute(statement("ring"), {"queues": sorted(queues)})


def settle_dependencies(cursor: psycopg.Cursor[Any]) -> None:
    """Tell jobs that somebody waits for them, where that was enqueued by another transaction than they were.

    Who enqueues locks nothing that others see, so it is done after the commit, by any worker that comes by. Some of
    those jobs have ended meanwhile: what waits for them is released here. To be called in a transaction.
    """
    cursor.execute(statement("mark_awaited"))
    rows: Sequence[tuple[int, bool]] = cursor.execute(statement("settle_dependencies")).fetchall()
    for outcome in (True, False):
        ends = [End(job, awaited=True) for job, completed in rows if completed is outcome]
        if ends:
            follow(cursor, ends, completed=outcome)
