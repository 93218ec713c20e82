"""Which jobs a change is for: by their ids, or by a filter, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.admin.changes import Change
from pgjobs.core.errors import UsageError
from pgjobs.db.query import check_ids, fetch_dicts, task_patterns

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

STATUSES = ("waiting", "queued", "running", "completed", "failed", "cancelled")
JOBS_PER_TRANSACTION = 500  # jobs in one transaction: its locks are held for some ten milliseconds


@dataclass(frozen=True, slots=True)
class JobSelection:
    """These `ids`, or all jobs (None) that are in one of `statuses`, of a `queue` and a `task` (as in `list_jobs`).

    Raises:
        UsageError: an id, or a status, is none.

    """

    ids: tuple[int, ...] | None = None
    statuses: tuple[str, ...] = STATUSES
    queue: str | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        if self.ids is not None:
            check_ids(self.ids)
        for status in self.statuses:
            if status not in STATUSES:
                raise UsageError(f"{status!r} is no status: give one of {', '.join(STATUSES)}.")


def count_jobs(conn: psycopg.Connection, selection: JobSelection) -> int:
    """Count the jobs of a selection; ids are counted as they are."""
    return len(check_ids(selection.ids)) if selection.ids is not None else _found(conn, selection)[0]


def change_jobs(
    conn: psycopg.Connection,
    selection: JobSelection,
    change: Callable[[list[int]], Change],
    *,
    batch: int = JOBS_PER_TRANSACTION,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Change the jobs of a selection in batches; `change` changes those with the ids that it is given.

    What a filter finds when it begins is changed, and nothing that is enqueued later. Each batch is a transaction of
    its own, unless the caller has one. Of a filter's jobs, those that could not be changed are not told.
    """
    if selection.ids is not None:
        return change(check_ids(selection.ids))
    done: list[int] = []
    asked: list[int] = []
    _, until = _found(conn, selection)
    after = -1
    while ids := _pick(conn, selection, after, until, batch):
        after = ids[-1]
        changed = change(ids)
        done += changed.done
        asked += changed.asked
        if on_progress:
            on_progress(len(done) + len(asked))
    return Change(tuple(done), (), tuple(asked))


def _found(conn: psycopg.Connection, selection: JobSelection) -> tuple[int, int]:
    row = fetch_dicts(
        conn,
        "count_jobs",
        statuses=list(selection.statuses),
        queue=selection.queue,
        tasks=task_patterns(selection.task),
    )[0]
    return row["jobs"], row["until"]


def _pick(conn: psycopg.Connection, selection: JobSelection, after: int, until: int, batch: int) -> list[int]:
    rows = fetch_dicts(
        conn,
        "select_jobs",
        statuses=list(selection.statuses),
        queue=selection.queue,
        tasks=task_patterns(selection.task),
        after=after,
        until=until,
        batch=batch,
    )
    return [row["id"] for row in rows]
