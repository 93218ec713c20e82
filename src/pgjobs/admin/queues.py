"""Queues: list, pause, resume and remove them, set whether they keep completed jobs, their limit, aging, and SLA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.core.text import plural, shorten_repr
from pgjobs.core.validate import Seconds, as_seconds, check_queue
from pgjobs.db.adapters.operations import operation
from pgjobs.db.doorbell import notify_queues
from pgjobs.db.query import fetch, fetch_dicts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

    from pgjobs.flow.limits import LimitSettings

MOST_COUNTED = 1000  # jobs
MIN_AGING = 0.1  # seconds
MAX_AGING = 366 * 86_400.0
MIN_SLA = 0.001
MAX_SLA = MAX_AGING


@dataclass(frozen=True)
class Queue:
    """A queue's settings. `created_at` is None while it has jobs and no row; `worked_on`: a worker serves it.

    `keep_completed`: whether its completed jobs go to history; if not, they are deleted. `concurrency`: jobs that may
    run at once, over all workers. `rate`: starts per `period` (seconds), `burst` of them at once. `aging`: seconds
    after which a waiting job counts as one of the next higher priority. `sla`: seconds that a due job may wait before
    it starts. None: there is no such limit, no aging, no SLA.
    """

    name: str
    paused: bool
    paused_at: datetime | None
    keep_completed: bool
    created_at: datetime | None
    worked_on: bool
    concurrency: int | None = None
    rate: float | None = None
    period: float | None = None
    burst: float | None = None
    aging: float | None = None
    sla: float | None = None


@operation
def list_queues(conn: psycopg.Connection, *, names: Sequence[str] | None = None) -> list[Queue]:
    """List all queues that have settings or queued jobs, by name. `names`: only those of these with settings."""
    if names is not None:
        return fetch(conn, "settings_of_queues", Queue, names=[*names])
    return fetch(conn, "list_queues", Queue)


@operation
def pause_queue(conn: psycopg.Connection, queue: str) -> bool:
    """Pause a queue: workers claim nothing from it. Return False if it was paused already.

    Running jobs are not stopped.

    Raises:
        UsageError: the name cannot be one of a queue.

    """
    check_queue(queue)
    return not fetch_dicts(conn, "pause_queue", queue=queue)[0]["was_paused"]


@operation
def resume_queue(conn: psycopg.Connection, queue: str) -> bool:
    """Resume a queue; return False if it was not paused.

    Raises:
        UsageError: the name cannot be one of a queue.

    """
    check_queue(queue)
    resumed = bool(fetch_dicts(conn, "resume_queue", queue=queue))
    if resumed:
        notify_queues(conn, [queue])
    return resumed


@operation
def remove_queue(conn: psycopg.Connection, queue: str) -> int:
    """Remove a queue that is no longer used, with its settings. Return how many dead letters of it are left.

    A job that is enqueued for it later makes it anew.

    Raises:
        NotFoundError: there is no such queue.
        UsageError: it has jobs that have not ended, or a worker serves it; or the name cannot be one of a queue.

    """
    check_queue(queue)
    found = fetch_dicts(conn, "remove_queue", queue=queue)[0]
    if found["jobs"]:
        jobs = plural(found["jobs"], "job", cap=MOST_COUNTED)
        have = "has" if found["jobs"] == 1 else "have"
        raise UsageError(f"queue {queue} has {jobs} that {have} not ended: run or cancel what is left, then remove it.")
    if found["worker"] is not None:
        raise UsageError(f"queue {queue} is served by worker {found['worker']}: stop it, then remove the queue.")
    if not found["known"]:
        raise NotFoundError(f"There is no queue {queue}: see `pgjobs queues list`.")
    letters: int = found["letters"]
    return letters


@operation
def keep_completed(conn: psycopg.Connection, queue: str, keep: bool) -> bool:
    """Keep the completed jobs of a queue, or delete them as they complete. Return False if it was so already.

    Failed and cancelled jobs are kept in any case. Workers follow within some seconds.

    Raises:
        UsageError: the name cannot be one of a queue.

    """
    check_queue(queue)
    return bool(fetch_dicts(conn, "set_keep_completed", queue=queue, keep=keep)[0]["kept_before"] != keep)


@operation
def set_queue_limit(conn: psycopg.Connection, queue: str, limit: LimitSettings) -> None:
    """Set the limit of a queue, over all workers. What `limit` leaves out is not limited.

    Workers follow within a second. Jobs that run already are not stopped.

    Raises:
        UsageError: the name cannot be one of a queue.

    """
    fetch_dicts(conn, "set_queue_limit", queue=check_queue(queue), **limit.columns())
    notify_queues(conn, [queue])


@operation
def set_queue_aging(conn: psycopg.Connection, queue: str, seconds: Seconds | None) -> None:
    """Raise a waiting job by one priority for each `seconds` that it has been due; None: priorities are strict.

    Workers follow within a second.

    Raises:
        UsageError: the name cannot be one of a queue, or the seconds are not from 0.1 to a year.

    """
    number = None
    if seconds is not None:
        number = as_seconds(seconds)
        if number is None or not MIN_AGING <= number <= MAX_AGING:
            raise UsageError(
                f"aging={shorten_repr(seconds)}: give seconds from {MIN_AGING:g} to a year, a timedelta, or off."
            )
    fetch_dicts(conn, "set_queue_aging", queue=check_queue(queue), seconds=number)
    notify_queues(conn, [queue])


@operation
def set_queue_sla(conn: psycopg.Connection, queue: str, seconds: Seconds | None) -> None:
    """Set for how long a due job of a queue may wait before it starts: its service level. None: nothing is promised.

    It changes nothing about how jobs run. `status`, the doctor, metrics and the dashboard compare latency with it.

    Raises:
        UsageError: the name cannot be one of a queue, or the seconds are not from 0.001 to a year.

    """
    number = None
    if seconds is not None:
        number = as_seconds(seconds)
        if number is None or not MIN_SLA <= number <= MAX_SLA:
            raise UsageError(
                f"sla={shorten_repr(seconds)}: give seconds from {MIN_SLA:g} to a year, a timedelta, or off."
            )
    fetch_dicts(conn, "set_queue_sla", queue=check_queue(queue), seconds=number)
