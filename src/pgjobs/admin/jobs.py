"""Jobs: list and retry; `pgjobs.admin.detail` shows one, `pgjobs.admin.job_actions` cancels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.admin.changes import Change, Refusal
from pgjobs.admin.dead import Selection, replay_dead
from pgjobs.admin.detail import JobRow
from pgjobs.admin.selection import STATUSES
from pgjobs.core.errors import UsageError
from pgjobs.db.doorbell import notify_queues
from pgjobs.db.query import (
    LOOK_UP,
    MAX_ID,
    check_ids,
    check_limit,
    fetch,
    fetch_dicts,
    job_states,
    local_settings,
    task_patterns,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg


def list_jobs(
    conn: psycopg.Connection,
    *,
    status: str | None = None,
    queue: str | None = None,
    task: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[JobRow]:
    """List jobs, live and finished, the newest id first.

    `task`: a task (`module:qualname`), a module, or a glob. `before`: only ids below it, for the next page.

    Raises:
        UsageError: there is no such status, or the limit is none.

    """
    if status is not None and status not in STATUSES:
        raise UsageError(f"{status!r} is no status: give one of {', '.join(STATUSES)}.")
    return fetch(
        conn,
        "list_jobs",
        JobRow,
        status=status,
        queue=queue,
        tasks=task_patterns(task),
        limit=check_limit(limit),
        before=None if before is None else min(before, MAX_ID),
    )


def retry_jobs(conn: psycopg.Connection, ids: Iterable[int]) -> Change:
    """Put jobs back to queued, due now: finished ones with a fresh budget under the same id, later ones as they are.

    A dead letter goes, the errors of all attempts are kept. Jobs that run, wait or are due already are refused.

    Raises:
        UsageError: an id is none.

    """
    wanted = check_ids(ids)
    with local_settings(conn, LOOK_UP):
        changed = fetch_dicts(conn, "requeue_jobs", ids=wanted)
        sooner = fetch_dicts(conn, "make_due", ids=_without(wanted, {row["id"] for row in changed}))
        notify_queues(conn, {row["queue"] for row in sooner})
        done = {row["id"] for row in changed} | {row["id"] for row in sooner}
        # What is left may be a letter whose row in history is past retention. A letter beside a live job is not.
        states = job_states(conn, _without(wanted, done))
        lost = [each for each in wanted if each not in done and each not in states]
        if lost:
            done.update(replay_dead(conn, Selection(ids=tuple(lost))).done)
    return Change(
        tuple(each for each in wanted if each in done),
        tuple(Refusal(each, _why_no_retry(each, states)) for each in wanted if each not in done),
    )


def _without(ids: list[int], done: set[int]) -> list[int]:
    return [each for each in ids if each not in done]


def _why_no_retry(id: int, states: dict[int, tuple[str, bool]]) -> str:
    status, due = states.get(id, (None, False))
    if status is None:
        return f"There is no job {id}: it never was, or it is not kept any more."
    if status == "queued" and due:
        return f"Job {id} is queued and due: a worker takes it as soon as it can."
    if status == "running":
        return f"Job {id} is running: wait for its end."
    if status == "waiting":
        return f"Job {id} waits for other jobs."
    return f"Job {id} has changed at this moment (now {status}): look at it, and try again."
