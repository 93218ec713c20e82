"""Queues: how late they are, what is in them, and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs import admin
from pgjobs.core.text import is_glob, matches_glob
from pgjobs.web.pages.overview import look_at_status, urgency
from pgjobs.web.visit import Page

if TYPE_CHECKING:
    from pgjobs.web.visit import Visit

PER_PAGE = 100


def queues(visit: Visit) -> Page:
    """List the queues, the latest first."""
    name, start = visit.asked("name"), visit.number("start") or 0
    status = look_at_status(visit)
    found = sorted(
        (queue for queue in (status.queues if status else ()) if name is None or _matches(name, queue.queue)),
        key=urgency,
    )
    settings = visit.rows("settings of queues", lambda: admin.list_queues(visit.conn))
    return Page(
        "queues.html",
        {
            "queues": found[start : start + PER_PAGE],
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


def _matches(name: str, queue: str) -> bool:
    return matches_glob(name, queue) if is_glob(name) else name in queue
