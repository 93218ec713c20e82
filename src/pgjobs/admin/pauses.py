"""Pause and resume tasks, and everything at once; `pgjobs.admin.queues` does it for queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.core.validate import check_name
from pgjobs.db.doorbell import requeue_parked
from pgjobs.db.query import fetch, fetch_dicts, task_patterns

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

MAX_COUNTED = 10_000
MAX_TASK_NAME = 300  # characters


@dataclass(frozen=True)
class PausedTask:
    """A paused task, module or glob. `parked`: its jobs that were found so far (10,001: more than 10,000)."""

    task: str
    paused_at: datetime
    parked: int


def list_paused_tasks(conn: psycopg.Connection) -> list[PausedTask]:
    """List what is paused, by name."""
    return fetch(conn, "list_tasks", PausedTask, cap=MAX_COUNTED)


def pause_task(conn: psycopg.Connection, task: str) -> bool:
    """Let workers start no more jobs of a task (a module, a glob); False if it was paused already.

    Workers follow within a second. What runs ends. What they claim is *parked*: it waits, its attempt does not count.

    Raises:
        UsageError: it is no name of a task.

    """
    _check(task)
    return bool(fetch_dicts(conn, "pause_task", task=task, patterns=task_patterns(task)))


def resume_task(conn: psycopg.Connection, task: str, *, on_progress: Callable[[int], None] | None = None) -> bool:
    """Let a paused task go on: its parked jobs are put back, in batches; False if it was not paused.

    What was parked and is paused no longer goes back in any case, also what somebody else's resuming has left.

    Raises:
        UsageError: it is no name of a task.

    """
    _check(task)
    resumed = bool(fetch_dicts(conn, "resume_task", task=task))
    requeue_parked(conn, on_progress=on_progress)
    return resumed


def pause_everything(conn: psycopg.Connection) -> bool:
    """Let workers claim nothing at all; False if it was so already. What runs ends."""
    return bool(fetch_dicts(conn, "pause_everything"))


def resume_everything(conn: psycopg.Connection) -> bool:
    """Let workers claim again; False if nothing was paused. Queues and tasks that are paused themselves stay so."""
    resumed = bool(fetch_dicts(conn, "resume_everything"))
    if resumed:
        fetch_dicts(conn, "notify_all_queues")
    return resumed


def _check(task: str) -> None:
    check_name("task", task, MAX_TASK_NAME, or_else="a glob such as 'shop.*:send_?'")
