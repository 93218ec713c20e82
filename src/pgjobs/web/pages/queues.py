"""Queues: how late they are, what is in them, and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs import admin
from pgjobs.core.errors import NotFoundError
from pgjobs.core.text import is_glob, matches_glob
from pgjobs.web.pages.charts import charts, hours_of
from pgjobs.web.pages.overview import count_shown, look_at_status, urgency
from pgjobs.web.visit import Page

if TYPE_CHECKING:
    from pgjobs.web.visit import Visit

PER_PAGE = 100
RUNNING = 15
CHARTS = (
    ("latency", "Latency of the oldest due job, and the SLA"),
    ("rates", "Jobs that ended"),
    ("slots", "Slots, and how many were taken"),
    ("jobs", "Jobs"),
    ("waits", "How long jobs waited"),
    ("runs", "How long jobs ran"),
)


def queues(visit: Visit) -> Page:
    """List the queues, the latest first."""
    name, start = visit.asked("name"), visit.number("start") or 0
    status = look_at_status(visit)
    found = sorted(
        (queue for queue in (status.queues if status else ()) if name is None or _matches(name, queue.queue)),
        key=urgency,
    )
    shown = count_shown(visit, found[start : start + PER_PAGE])
    settings = visit.rows(
        "settings of queues", lambda: admin.list_queues(visit.conn, names=[each.queue for each in shown])
    )
    return Page(
        "queues.html",
        {
            "queues": shown,
            "start": start,
            "number": len(found),
            "next": start + PER_PAGE if len(found) > start + PER_PAGE else None,
            "settings": {each.name: each for each in settings},
            "name": name,
            "tasks": visit.rows("paused tasks", lambda: admin.list_paused_tasks(visit.conn)),
            "everything_paused": visit.look("the switch", lambda: admin.is_everything_paused(visit.conn)),
            "retention": visit.look("retention", lambda: admin.show_retention(visit.conn)),
        },
        live=5,
    )


def queue(visit: Visit) -> Page:
    """Show one queue: how it stands, what happened in the last hours, and its tasks.

    Raises:
        NotFoundError: none was named.

    """
    name = visit.asked("name")
    if name is None:
        raise NotFoundError("Name a queue.")
    settings = visit.rows("settings of queues", lambda: admin.list_queues(visit.conn, names=[name]))
    found = charts(visit, CHARTS, [name], times=True)
    hours = hours_of(visit)
    return Page(
        "queue.html",
        {
            "name": name,
            "own": next((each for each in settings if each.name == name), None),
            "charts": found,
            "hours": hours,
            "tasks": visit.rows("tasks", lambda: admin.list_busy_tasks(visit.conn, name, hours=hours)),
            "running": visit.rows("what runs", lambda: admin.list_running(visit.conn, queues=[name], limit=RUNNING)),
        },
        live=5,
    )


def _matches(name: str, queue: str) -> bool:
    return matches_glob(name, queue) if is_glob(name) else name in queue
