"""The state of everything at a glance: queues, their latency and rate, dead letters, workers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgjobs.admin.jobs import JobRow, list_jobs
from pgjobs.core.config import DEFAULT_RESCUE_AFTER
from pgjobs.db.adapters.operations import operation
from pgjobs.db.depths import cap_for, fetch_depths, queue_names, table_pages
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import check_limit, clock, fetch, fetch_dicts, local_settings, run_within
from pgjobs.db.row_security import check_visible
from pgjobs.db.stuck_jobs import StuckJob, stuck_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

MAX_COUNTED = 100_000  # counts end here
RATE_WINDOW = 60.0  # seconds
SCAN_TIMEOUT_MS = 2_000  # milliseconds that each of the scans may take
STUCK_SCAN = 2_000  # dependencies that are looked at
MAX_PAGES = 4_000  # of a table that is scanned in haste, 32 MB
MAX_SCANNED = 2_000  # jobs that are looked at for those that run, over all queues
MIN_SCANNED = 5
MAX_LETTERS = 10_000  # that are counted in haste


@dataclass(frozen=True)
class QueueStatus:
    """A queue now. Counts end at the `cap` of `show_status`, as `due_capped` says; None: counting took too long.

    `due`: queued jobs, and those that wait for their turn. `later`: jobs that are not due yet. `waiting`: those that
    wait for other jobs, or for their task to be resumed. `latency_seconds`: how long the oldest due job has been due
    (None: no job is due). `rate_per_second`: jobs that finished, over the last minute (None also if the queue does not
    keep completed jobs: they cannot be counted). `sla`: seconds that the latency may have (None: nothing was set).
    """

    queue: str
    paused: bool
    keep_completed: bool
    due: int
    due_capped: bool
    later: int
    later_capped: bool
    waiting: int | None
    running: int | None
    latency_seconds: float | None
    rate_per_second: float | None
    dead: int
    sla: float | None = None

    @property
    def is_late(self) -> bool:
        """True if the oldest due job has waited for longer than the SLA allows."""
        return self.sla is not None and (self.latency_seconds or 0.0) > self.sla


@dataclass(frozen=True)
class Worker:
    """A worker process. `queues`: concurrency by queue. `heartbeat_age_seconds`: since its last heartbeat.

    `rescue_after`: seconds of silence after which others take it for dead (None: the default).
    """

    id: int
    host: str
    pid: int
    queues: Any
    version: str
    state: str
    started_at: datetime
    heartbeat_at: datetime
    heartbeat_age_seconds: float
    rescue_after: float | None = None

    @property
    def is_silent(self) -> bool:
        """True if it was not heard from for that long."""
        return self.heartbeat_age_seconds > (self.rescue_after or DEFAULT_RESCUE_AFTER)


@dataclass(frozen=True)
class Status:
    """All queues and workers at the time `at`. `dead_capped`: there are more dead letters than were counted.

    `stuck`: some of the jobs that wait for one that did not complete; nothing starts them by itself.
    """

    at: datetime
    queues: tuple[QueueStatus, ...]
    workers: tuple[Worker, ...]
    dead: int
    dead_capped: bool
    stuck: tuple[StuckJob, ...] = ()


@operation
def show_status(
    conn: psycopg.Connection,
    *,
    cap: int | None = MAX_COUNTED,
    timeout_ms: int = SCAN_TIMEOUT_MS,
    quickly: bool = False,
) -> Status:
    """Return the state of all queues and workers, in a fraction of a second even with millions of jobs.

    `cap`: counts end here; None: earlier with many queues, so that 30,000 jobs are counted in all. `timeout_ms`:
    milliseconds that each of the scans may take; after that its figure is None. `quickly`: large tables are not
    scanned: what runs and waits in them is what was written of the last minute.
    """
    check_visible(conn)
    # Where one priority holds all jobs, statistics make a sequential scan look best for the other nine, too: 100 times
    # slower.
    with local_settings(conn, LOOK_UPS):
        depths = {row["name"]: row for row in fetch_depths(conn, cap=cap)}
    if cap is None:
        cap = cap_for(len(depths))
    pages = table_pages(conn) if quickly else {}
    last = _last_minute(conn, [*depths]) if max(pages.get("live", 0), pages.get("waiting", 0)) > MAX_PAGES else {}
    running: dict[str, int] | None
    if pages.get("live", 0) > MAX_PAGES:
        running = None if last is None else {queue: round(row["busy"]) for queue, row in last.items()}
    else:
        running = _scan(conn, "count_running", "running", timeout_ms)
    waiting: dict[str, int] | None
    if pages.get("waiting", 0) > MAX_PAGES:
        waiting = None if last is None else {queue: row["waiting"] for queue, row in last.items()}
    else:
        waiting = _scan(conn, "count_waiting", "waiting", timeout_ms)
    stuck = run_within(conn, timeout_ms, lambda: stuck_jobs(conn, scan=STUCK_SCAN), LOOK_UPS)
    since = clock(conn) - timedelta(seconds=RATE_WINDOW)
    finished = _scan(conn, "count_finished", "finished", timeout_ms, since=since)
    letters_cap = max(cap, MAX_LETTERS) if quickly else cap
    letters = {row["queue"]: row["letters"] for row in fetch_dicts(conn, "count_dead_by_queue", cap=letters_cap)}
    nothing = {"paused": False, "keep_completed": True, "sla": None, "due": 0, "later": 0, "latency_seconds": None}
    queues = []
    for name in sorted({*depths, *(running or ()), *(waiting or ()), *(finished or ()), *letters}):
        depth = depths.get(name, nothing)
        queues.append(
            QueueStatus(
                queue=name,
                paused=depth["paused"],
                keep_completed=depth["keep_completed"],
                due=min(depth["due"], cap),
                due_capped=depth["due"] > cap,
                later=min(depth["later"], cap),
                later_capped=depth["later"] > cap,
                waiting=None if waiting is None else waiting.get(name, 0),
                running=None if running is None else running.get(name, 0),
                latency_seconds=depth["latency_seconds"],
                rate_per_second=(
                    finished.get(name, 0) / RATE_WINDOW if finished is not None and depth["keep_completed"] else None
                ),
                dead=min(letters.get(name, 0), letters_cap),
                sla=depth["sla"],
            )
        )
    dead = sum(letters.values())
    return Status(
        clock(conn),
        tuple(queues),
        tuple(list_workers(conn)),
        min(dead, letters_cap),
        dead > letters_cap,
        tuple(stuck or ()),
    )


@operation
def count_further(conn: psycopg.Connection, queues: Sequence[QueueStatus], *, cap: int) -> list[QueueStatus]:
    """Return these queues with jobs counted up to a higher cap, where counts had ended before."""
    names = [queue.queue for queue in queues if queue.due_capped or queue.later_capped]
    if not names:
        return [*queues]
    with local_settings(conn, LOOK_UPS):
        rows = {row["name"]: row for row in fetch_depths(conn, cap=cap, queues=names)}
    return [
        replace(
            queue,
            due=min(row["due"], cap),
            due_capped=row["due"] > cap,
            later=min(row["later"], cap),
            later_capped=row["later"] > cap,
        )
        if (row := rows.get(queue.queue))
        else queue
        for queue in queues
    ]


@operation
def list_running(conn: psycopg.Connection, *, queues: Sequence[str] | None = None, limit: int = 15) -> list[JobRow]:
    """List some jobs that run, the newest start first: all of small tables, those that claims find first of large ones.

    `queues`: only these; None: all.
    """
    if table_pages(conn)["live"] <= MAX_PAGES:
        found = list_jobs(conn, status="running", queue=queues[0] if queues and len(queues) == 1 else None, limit=limit)
        return [job for job in found if queues is None or job.queue in queues]
    with local_settings(conn, LOOK_UPS):
        names = queue_names(conn) if queues is None else [*queues]
        scan = max(MIN_SCANNED, MAX_SCANNED // max(len(names), 1))
        return fetch(conn, "list_running", JobRow, queues=names, scan=scan, limit=check_limit(limit))


@operation
def list_workers(conn: psycopg.Connection) -> list[Worker]:
    """List the workers that have a row, with the age of their last heartbeat."""
    return fetch(conn, "list_workers", Worker)


def _last_minute(conn: psycopg.Connection, queues: list[str]) -> dict[str, dict[str, Any]] | None:
    """Return what was written of queues for the last minute; None: nothing was."""
    with local_settings(conn, LOOK_UPS):
        rows = {row["queue"]: row for row in fetch_dicts(conn, "last_minute", queues=queues)}
    return None if "" not in rows else {queue: row for queue, row in rows.items() if queue}


def _scan(
    conn: psycopg.Connection, name: str, column: str, timeout_ms: int, **parameters: object
) -> dict[str, int] | None:
    rows = run_within(conn, timeout_ms, lambda: fetch_dicts(conn, name, **parameters))
    return None if rows is None else {row["queue"]: row[column] for row in rows}
