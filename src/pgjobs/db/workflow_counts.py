"""What the end of a step means to its workflow: counted in the transaction that ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.db.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg

    from pgjobs.flow.workflow_state import GrownSteps


class StepChange(NamedTuple):
    """A step has ended, or may run from now on.

    `active`: what the number of steps that may run changes by. `ends`: completed, skipped, or lost (failed or
    cancelled); None: it has not ended.
    """

    id: int
    active: int
    ends: str | None


def count_steps(cursor: psycopg.Cursor[Any], changes: Sequence[StepChange]) -> set[int]:
    """Count what has changed, as far as these jobs are steps, in the transaction that has changed it.

    Returns the steps that have ended.
    """
    rows = cursor.execute(
        statement("count_steps"),
        {
            "ids": [change.id for change in changes],
            "changes": [change.active for change in changes],
            "ends": [change.ends for change in changes],
        },
    ).fetchall()
    held = [step for step, is_held in rows if is_held]
    if held:
        cursor.execute(statement("hold_steps"), {"ids": held})
    return {step for step, _ in rows} & {change.id for change in changes if change.ends is not None}


def tell_workflows(cursor: psycopg.Cursor[Any], steps: Iterable[int]) -> None:
    """Have workers look at the workflows of these steps once this transaction has ended, in which they end.

    For a transaction whose end is in others' hands; and where a look was not possible.
    """
    ended = sorted(steps)
    if ended:
        cursor.execute(statement("tell_workflows"), {"ids": ended})


def reopen_steps(conn: psycopg.Connection[Any], jobs: Sequence[int]) -> None:
    """Have workflows go on whose steps were put back to run again, in the transaction that does that."""
    if jobs:
        conn.execute(statement("reopen_steps"), {"ids": list(jobs)})


def grow(cursor: psycopg.Cursor[Any], grown: Mapping[int, GrownSteps]) -> None:
    """Insert what steps have added to their workflows, in the transaction that completes them.

    Before others are released: what waits for a step waits for the new ones, too. A step that was retried by hand adds
    nothing a second time.
    """
    if not grown:
        return
    cursor.execute(statement("lock_dependents"), {"ids": list(grown)})
    for step, added in grown.items():
        row = cursor.execute(statement("may_grow"), {"step": step}).fetchone()
        if row is None:
            continue
        for columns, values in added.batches:
            cursor.execute(statement("add_steps"), {**columns, **values})
            if row[0]:
                cursor.execute(statement("hold_steps"), {"ids": values["job_ids"]})
        more = {"workflow": added.workflow, "step": step, "last": added.last, "steps": added.steps}
        cursor.execute(statement("wait_for_grown"), {**more, "active": added.active})
