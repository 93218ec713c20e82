"""Pause and resume tasks, and everything at once; `pgjobs.admin.queues` does it for queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.core.validate import check_name
from pgjobs.db.adapters.operations import operation
from pgjobs.db.parked import requeue_parked
from pgjobs.db.query import fetch, fetch_dicts, task_patterns

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

MAX_COUNTED = 10_000
MAX_TASK_PATTERN = 300  # characters


@dataclass(frozen=True)
class PausedTask:
    """A paused task, module or glob. `parked`: its jobs that were found so far (10,001: more than 10,000)."""

    task: str
    paused_at: datetime
    parked: int


@operation
def list_paused_tasks(conn: psycopg.Connection) -> list[PausedTask]:
    """List the paused tasks, by name."""
    return fetch(conn, "list_tasks", PausedTask, cap=MAX_COUNTED)


@operation
def pause_task(conn: psycopg.Connection, task: str) -> bool:
    """Pause a task, a module or a glob: workers start no more of its jobs. Return False if it was paused already.

    Workers follow within a second. Running jobs are not stopped. Jobs that workers claim nevertheless are parked: they
    wait, and the attempt does not count.

    Raises:
        UsageError: it is not the name of a task.

    """
    _check(task)
    return bool(fetch_dicts(conn, "pause_task", task=task, patterns=task_patterns(task)))


@operation
def resume_task(conn: psycopg.Connection, task: str, *, on_progress: Callable[[int], None] | None = None) -> bool:
    """Resume a task: its parked jobs are put back, in batches. Return False if it was not paused.

    Parked jobs that no pause holds are put back in any case, so a resume that was interrupted can be repeated.
    `on_progress`: called after each batch, with the number of jobs put back so far.

    Raises:
        UsageError: it is not the name of a task.

    """
    _check(task)
    resumed = bool(fetch_dicts(conn, "resume_task", task=task))
    requeue_parked(conn, on_progress=on_progress)
    return resumed


@operation
def is_everything_paused(conn: psycopg.Connection) -> bool:
    """Return True if `pause_everything` is in effect."""
    return bool(fetch_dicts(conn, "is_everything_paused")[0]["paused"])


@operation
def pause_everything(conn: psycopg.Connection) -> bool:
    """Pause everything: workers claim nothing. Return False if it was paused already. Running jobs are not stopped."""
    return bool(fetch_dicts(conn, "pause_everything"))


@operation
def resume_everything(conn: psycopg.Connection) -> bool:
    """End `pause_everything`; return False if it was not in effect. Queues and tasks that were paused stay so."""
    resumed = bool(fetch_dicts(conn, "resume_everything"))
    if resumed:
        fetch_dicts(conn, "notify_all_queues")
    return resumed


def _check(task: str) -> None:
    check_name("task", task, MAX_TASK_PATTERN, or_else="a glob such as 'shop.*:send_?'")
