"""Dead letters: list, show, replay, discard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgjobs.admin.changes import Change, Refusal
from pgjobs.admin.detail import JobDetail, show_job
from pgjobs.core.errors import NotFoundError
from pgjobs.db.query import (
    LOOK_UP,
    MAX_ID,
    check_ids,
    check_limit,
    chunks,
    fetch,
    fetch_dicts,
    local_settings,
    task_patterns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    import psycopg

LETTERS_PER_STATEMENT = 500  # letters in one statement: its locks are held for some ten milliseconds


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter as it is listed; `error` is the last one."""

    id: int
    queue: str
    task: str
    summary: str | None
    attempt: int
    max_attempts: int
    prior_attempts: int | None
    enqueued_at: datetime
    died_at: datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters: these `ids`, or all (None) of a `queue` and a `task` (as in `list_jobs`), where given."""

    ids: tuple[int, ...] | None = None
    queue: str | None = None
    task: str | None = None


def list_dead(
    conn: psycopg.Connection,
    *,
    queue: str | None = None,
    task: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[DeadLetter]:
    """List dead letters, the newest first. `before`: the id of a letter, for the next page.

    Raises:
        UsageError: the limit is none.

    """
    return fetch(
        conn,
        "list_dead",
        DeadLetter,
        queue=queue,
        tasks=task_patterns(task),
        limit=check_limit(limit),
        before=before if before is None else min(before, MAX_ID),
    )


def show_dead(conn: psycopg.Connection, id: int) -> JobDetail:
    """Show a dead letter, with the diagnosis of every attempt.

    Raises:
        NotFoundError: there is no such letter.
        UsageError: it is no id.

    """
    try:
        job = show_job(conn, id)
    except NotFoundError:
        raise NotFoundError(f"There is no dead letter {id}, and no job.") from None
    if job.died_at is None:
        raise NotFoundError(f"There is no dead letter {id}: the job is {job.status}. See `pgjobs jobs show {id}`.")
    return job


def count_dead(conn: psycopg.Connection, selection: Selection) -> int:
    """Count the letters of a selection.

    Raises:
        UsageError: an id is none.

    """
    count: int = _count(conn, selection)["letters"]
    return count


def replay_dead(
    conn: psycopg.Connection,
    selection: Selection,
    *,
    batch: int = LETTERS_PER_STATEMENT,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Put dead letters back to queued, due now, with a fresh budget of attempts and all their errors.

    They go in batches, in the order in which they died; `on_progress` gets the number done so far. A letter that dies
    again meanwhile is left. Two replays at once put each letter back once.

    Raises:
        UsageError: an id is none.

    """
    return _in_batches(conn, "replay_dead", selection, batch, on_progress)


def discard_dead(
    conn: psycopg.Connection,
    selection: Selection,
    *,
    batch: int = LETTERS_PER_STATEMENT,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Throw dead letters away, in batches; the jobs stay in history as failed.

    Raises:
        UsageError: an id is none.

    """
    return _in_batches(conn, "discard_dead", selection, batch, on_progress)


def _count(conn: psycopg.Connection, selection: Selection) -> dict[str, Any]:
    ids = None if selection.ids is None else check_ids(selection.ids)
    return fetch_dicts(conn, "count_dead", ids=ids, queue=selection.queue, tasks=task_patterns(selection.task))[0]


def _in_batches(
    conn: psycopg.Connection,
    name: str,
    selection: Selection,
    batch: int,
    on_progress: Callable[[int], None] | None,
) -> Change:
    until = _count(conn, selection)["until"]
    wanted = None if selection.ids is None else check_ids(selection.ids)
    pieces: Iterable[list[int] | None] = [None] if wanted is None else [list(ids) for ids in chunks(wanted, batch)]
    done: list[int] = []
    for ids in pieces:
        # The place where the last batch ended: what lies before it in the index are dead entries.
        after_died_at, after_id = "-infinity", 0
        while True:
            # Left alone, the planner reads all of history once per batch.
            with local_settings(conn, LOOK_UP):
                rows = fetch_dicts(
                    conn,
                    name,
                    ids=ids,
                    queue=selection.queue,
                    tasks=task_patterns(selection.task),
                    until=until,
                    after_died_at=after_died_at,
                    after_id=after_id,
                    batch=batch,
                )
            done += [row["id"] for row in rows if row["done"]]
            if on_progress:
                on_progress(len(done))
            if len(rows) < batch:
                break
            after_died_at, after_id = rows[-1]["died_at"], rows[-1]["id"]
    found = set(done)
    if wanted is None:
        return Change(tuple(done))
    return Change(
        tuple(each for each in wanted if each in found),
        tuple(Refusal(each, f"There is no dead letter {each}.") for each in wanted if each not in found),
    )
