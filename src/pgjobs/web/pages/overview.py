"""The overview: what is wrong, how late queues are, what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs import admin
from pgjobs.web.pages.charts import MOST, charts
from pgjobs.web.values import CAP
from pgjobs.web.visit import Page

if TYPE_CHECKING:
    from pgjobs.admin import QueueStatus, Status
    from pgjobs.web.visit import Visit

SCAN_TIMEOUT_MS = 1_000
COUNTED = 20_000  # jobs that are counted for one page, over all queues; and once more of those that are shown
FEWEST = 10  # of one queue
QUEUES = 12
BUSY = 200  # queues in which jobs are looked for that run
RUNNING = 15
LETTERS = 5
CHARTS = (
    ("latency", "Latency of the latest queues, and their SLA"),
    ("rates", "Jobs that were enqueued and ended, all queues"),
    ("slots", "Slots of busy queues, and how many were taken"),
)


def overview(visit: Visit) -> Page:
    """Show the state of everything at a glance."""
    status = look_at_status(visit)
    queues = sorted(status.queues if status else (), key=urgency)
    busy = busiest(queues)
    return Page(
        "overview.html",
        {
            "status": status,
            "queues": count_shown(visit, queues[:QUEUES]),
            "more_queues": max(len(queues) - QUEUES, 0),
            "slots": 0 if status is None else sum(slots_of(worker.queues) for worker in status.workers),
            "busy": None if status is None else total([queue.running for queue in status.queues]),
            "due": sum(queue.due for queue in queues),
            "due_more": any(queue.due_capped for queue in queues),
            "rate": None if status is None else sum(queue.rate_per_second or 0.0 for queue in status.queues),
            "charts": charts(visit, CHARTS, [queue.queue for queue in queues[:MOST]]),
            "diagnosis": visit.shared.last,
            "running": visit.look("what runs", lambda: admin.list_running(visit.conn, queues=busy, limit=RUNNING)),
            "letters": visit.look("dead letters", lambda: admin.list_dead(visit.conn, limit=LETTERS)),
            "paused_tasks": visit.rows("paused tasks", lambda: admin.list_paused_tasks(visit.conn)),
        },
        live=5,
    )


def look_at_status(visit: Visit) -> Status | None:
    """Return the state of all queues, with counts that end at what pages show."""
    cap = visit.shared.cap
    found = visit.look(
        "queues", lambda: admin.show_status(visit.conn, cap=cap, timeout_ms=SCAN_TIMEOUT_MS, quickly=True)
    )
    number = COUNTED // FEWEST if found is None else len(found.queues)
    visit.shared.cap = min(CAP, max(FEWEST, COUNTED // max(number, 1)))
    return found


def count_shown(visit: Visit, queues: list[QueueStatus]) -> list[QueueStatus]:
    """Return the queues that a page shows, with counts that end later than those of all queues."""
    cap = min(CAP, COUNTED // max(len(queues), 1))
    return visit.look("counts of queues", lambda: admin.count_further(visit.conn, queues, cap=cap)) or queues


def busiest(queues: list[QueueStatus]) -> list[str] | None:
    """Return the names of the queues in which jobs are to be looked for that run; None: all, there are not many."""
    if len(queues) <= BUSY:
        return None
    return [queue.queue for queue in sorted(queues, key=lambda each: -(each.running or 0))[:BUSY]]


def urgency(queue: QueueStatus) -> tuple[float, int, str]:
    """Return a key that sorts queues: the latest first, then those with the most that runs."""
    return (-(queue.latency_seconds or 0.0), -(queue.running or 0), queue.queue)


def total(numbers: list[int | None]) -> int | None:
    """Add up numbers; one that is not known makes the sum unknown."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def slots_of(queues: object) -> int:
    """Return how many jobs a worker runs at once; its row may have been written by hand."""
    if not isinstance(queues, dict):
        return 0
    return sum(number for number in queues.values() if isinstance(number, int))
