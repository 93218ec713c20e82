"""Queues: list, pause, resume, and whether they keep what completed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.admin.rows import fetch, fetch_dicts
from pgjobs.options import check_queue

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import psycopg


@dataclass(frozen=True)
class Queue:
    """A queue's settings. `created_at` is None while it has jobs and no row; `worked_on`: a worker serves it.

    `keep_completed`: whether its completed jobs go to history; if not, they are deleted.
    """

    name: str
    paused: bool
    paused_at: datetime | None
    keep_completed: bool
    created_at: datetime | None
    worked_on: bool


def list_queues(conn: psycopg.Connection) -> list[Queue]:
    """List all queues that have settings or queued jobs, by name."""
    return fetch(conn, "list_queues", Queue)


def pause(conn: psycopg.Connection, queue: str) -> bool:
    """Let workers claim nothing more from a queue; False if it was paused already. What runs ends.

    Raises:
        UsageError: it is no name of a queue.

    """
    check_queue(queue)
    return not fetch_dicts(conn, "pause_queue", queue=queue)[0]["was_paused"]


def resume(conn: psycopg.Connection, queue: str) -> bool:
    """Let workers claim from a queue again; False if it was not paused.

    Raises:
        UsageError: it is no name of a queue.

    """
    check_queue(queue)
    resumed = bool(fetch_dicts(conn, "resume_queue", queue=queue))
    if resumed:
        ring(conn, [queue])
    return resumed


def keep_completed(conn: psycopg.Connection, queue: str, keep: bool) -> bool:
    """Keep the completed jobs of a queue in history, or delete them as they complete; False if it was so already.

    Failed and cancelled jobs are kept in any case. Workers follow within some seconds.

    Raises:
        UsageError: it is no name of a queue.

    """
    check_queue(queue)
    return bool(fetch_dicts(conn, "keep_completed", queue=queue, keep=keep)[0]["kept_before"] != keep)


def ring(conn: psycopg.Connection, queues: Iterable[str]) -> None:
    """Wake the workers that wait for one of the queues."""
    names = sorted(queues)
    if names:
        fetch_dicts(conn, "ring", queues=names)
