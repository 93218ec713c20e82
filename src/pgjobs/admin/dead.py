"""Dead letters: list, show, replay, discard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgjobs.admin.changes import Change, JobSelection, Refusal
from pgjobs.admin.jobs import JobDetail, show_job
from pgjobs.core.errors import NotFoundError
from pgjobs.db.adapters.operations import operation
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import (
    JOBS_PER_TRANSACTION,
    MAX_ID,
    AnyJob,
    AnyJobs,
    check_id,
    check_ids,
    check_limit,
    chunks,
    fetch,
    fetch_dicts,
    like,
    local_settings,
    task_patterns,
)
from pgjobs.db.row_security import check_visible
from pgjobs.db.workflow_counts import reopen_steps
from pgjobs.flow.rates import parse_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    import psycopg


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter as it is listed. `error`: of the last attempt. `prior_attempts`: those before its last replay."""

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


@operation
def list_dead(
    conn: psycopg.Connection,
    *,
    queue: str | None = None,
    task: str | None = None,
    limit: int = 50,
    before: int | None = None,
    died_before: datetime | None = None,
) -> list[DeadLetter]:
    """List dead letters, the newest first.

    `queue`, `task`: as for `list_jobs`. `limit`: the number of letters. `before`, `died_before`: the id of a letter,
    and when it died, for the next page; without the second, none is found if that letter is gone meanwhile.

    Raises:
        UsageError: the limit is not a number of rows.
        SchemaError: nothing was found, and row level security may hide letters from this role.

    """
    rows = fetch(
        conn,
        "list_dead",
        DeadLetter,
        queue=None if queue is None else like(queue),
        tasks=task_patterns(task),
        limit=check_limit(limit),
        before=before if before is None else min(before, MAX_ID),
        died_before=died_before,
    )
    if not rows:
        check_visible(conn)
    return rows


@operation
def show_dead(conn: psycopg.Connection, id: AnyJob) -> JobDetail:
    """Return all that is known about a dead job, with the error and traceback of every attempt.

    Raises:
        NotFoundError: there is no such dead letter.
        UsageError: the id cannot be one.

    """
    number = check_id(id)
    try:
        found = show_job(conn, number)
    except NotFoundError:
        raise NotFoundError(f"There is no dead letter {number}, and no job.") from None
    if found.died_at is None:
        raise NotFoundError(
            f"There is no dead letter {number}: the job is {found.status}. See `pgjobs jobs show {number}`."
        )
    return found


@operation
def count_dead(conn: psycopg.Connection, jobs: AnyJobs | JobSelection) -> int:
    """Count the dead letters with these ids, or of a selection.

    Raises:
        UsageError: an id cannot be one.

    """
    count: int = _count(conn, *_filter(jobs))["letters"]
    return count


@operation
def replay_dead(
    conn: psycopg.Connection,
    jobs: AnyJobs | JobSelection,
    *,
    rate: str | None = None,
    batch: int = JOBS_PER_TRANSACTION,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Put dead jobs back to queued, due now, with a fresh budget of attempts; their errors are kept.

    They are given by id, by handle or by a selection, and replayed in batches of `batch`, in the order in which they
    died. A job that dies again meanwhile is not replayed again, and two replays at once put each job back once.

    `rate`: they become due one after another, at a rate such as "100/min" or "10/s". None: all are due now.
    `on_progress`: called after each batch, with the number of jobs replayed so far.

    Raises:
        UsageError: an id or a rate cannot be one.

    """
    spacing = 0.0
    if rate is not None:
        wanted_rate = parse_rate(rate)
        spacing = wanted_rate.period / wanted_rate.count

    def replay(conn: psycopg.Connection, done: int, **wanted: Any) -> list[dict[str, Any]]:
        return _replay(conn, done, spacing, **wanted)

    return _in_batches(conn, replay, jobs, batch, on_progress)


@operation
def discard_dead(
    conn: psycopg.Connection,
    jobs: AnyJobs | JobSelection,
    *,
    batch: int = JOBS_PER_TRANSACTION,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Delete dead letters, given by id, by handle or by a selection, in batches; the jobs stay in history as failed.

    `batch`, `on_progress`: as for `replay_dead`.

    Raises:
        UsageError: an id cannot be one.

    """
    return _in_batches(conn, _discard, jobs, batch, on_progress)


def _filter(jobs: AnyJobs | JobSelection) -> tuple[list[int] | None, JobSelection]:
    """Return the ids that were given (None: those of the selection), and a selection."""
    return (None, jobs) if isinstance(jobs, JobSelection) else (check_ids(jobs), JobSelection())


def _count(conn: psycopg.Connection, ids: list[int] | None, selection: JobSelection) -> dict[str, Any]:
    return fetch_dicts(
        conn,
        "count_dead",
        ids=ids,
        queue=None if selection.queue is None else like(selection.queue),
        tasks=task_patterns(selection.task),
    )[0]


def _replay(conn: psycopg.Connection, done: int, spacing: float, **wanted: Any) -> list[dict[str, Any]]:
    letters = fetch_dicts(conn, "pick_dead", **wanted)
    ended = [row["finished_at"] for row in letters if row["finished_at"] is not None]
    if not letters:
        return []
    rows = fetch_dicts(
        conn, "replay_dead", ids=[row["id"] for row in letters], ended_at=ended, places=done, spacing=spacing
    )
    reopen_steps(conn, [row["id"] for row in rows if row["done"]])
    return rows


def _discard(conn: psycopg.Connection, done: int, **wanted: Any) -> list[dict[str, Any]]:
    return fetch_dicts(conn, "discard_dead", **wanted)


def _in_batches(
    conn: psycopg.Connection,
    change: Callable[..., list[dict[str, Any]]],
    jobs: AnyJobs | JobSelection,
    batch: int,
    on_progress: Callable[[int], None] | None,
) -> Change:
    wanted, selection = _filter(jobs)
    until = _count(conn, wanted, selection)["until"]
    pieces: Iterable[list[int] | None] = [None] if wanted is None else [list(ids) for ids in chunks(wanted, batch)]
    done: list[int] = []
    taken: set[int] = set()  # letters of jobs whose ids others have now
    for ids in pieces:
        # Where the last batch ended: entries before it point to deleted rows, which a scan would wade through again.
        after_died_at, after_id = "-infinity", 0
        while True:
            # Without these settings the planner reads all of history once per batch.
            with local_settings(conn, LOOK_UPS):
                rows = change(
                    conn,
                    len(done),
                    ids=ids,
                    queue=None if selection.queue is None else like(selection.queue),
                    tasks=task_patterns(selection.task),
                    until=until,
                    after_died_at=after_died_at,
                    after_id=after_id,
                    batch=batch,
                )
            done += [row["id"] for row in rows if row["done"]]
            taken |= {row["id"] for row in rows if row.get("is_taken")}
            if on_progress:
                on_progress(len(done))
            if len(rows) < batch:
                break
            after_died_at, after_id = rows[-1]["died_at"], rows[-1]["id"]
    found = set(done)
    if wanted is None:
        return Change(tuple(done))
    reasons = still_ending(conn, [each for each in wanted if each not in found])
    return Change(
        tuple(each for each in wanted if each in found),
        tuple(
            Refusal(each, reasons.get(each) or _why_not(each, each in taken)) for each in wanted if each not in found
        ),
    )


def still_ending(conn: psycopg.Connection, ids: list[int]) -> dict[int, str]:
    """Return why nothing can be done yet with those of these dead letters whose sequences have still to end."""
    return {
        row["id"]: f"Job {row['id']} failed and ended its sequence, and a job of that is locked by an open transaction "
        "and still has to be cancelled: try again when that transaction has ended."
        for row in (fetch_dicts(conn, "ending_letters", ids=ids) if ids else ())
    }


def _why_not(id: int, is_taken: bool) -> str:
    if is_taken:
        return (
            f"Another job has the id {id} now, and is not done: replay the letter when it is. `pgjobs doctor` says why "
            "ids are given out again."
        )
    return f"There is no dead letter {id}."
