"""Dead letters: in groups by what they have in common, and one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs import admin
from pgjobs.web.alike import group_letters
from pgjobs.web.visit import Page

if TYPE_CHECKING:
    from pgjobs.web.visit import Visit

PER_PAGE = 50
GROUPED = 2_000  # letters
GROUPS = 50


def dead(visit: Visit) -> Page:
    """List dead letters, the newest first, and their groups."""
    queue, task, alike = visit.asked("queue"), visit.asked("task"), visit.asked("alike")
    before = visit.number("before")
    size = PER_PAGE + 1 if before is not None and alike is None else GROUPED
    died = visit.moment("died")
    letters = visit.rows(
        "dead letters",
        lambda: admin.list_dead(visit.conn, queue=queue, task=task, limit=size, before=before, died_before=died),
    )
    groups = group_letters(letters) if before is None or alike is not None else []
    found = letters if alike is None else [each for group in groups if group.alike == alike for each in group.letters]
    shown = found[:PER_PAGE]
    last = shown[-1] if len(found) > PER_PAGE else letters[-1] if alike and len(letters) == size else None
    return Page(
        "dead.html",
        {
            "letters": shown,
            "groups": groups[:GROUPS] if alike is None else [],
            "more_groups": max(len(groups) - GROUPS, 0),
            "grouped": len(letters),
            "grouped_all": len(letters) < size,
            "asked": {"queue": queue, "task": task, "alike": alike},
            "before": before,
            "next": None if last is None else {"before": last.id, "died": last.died_at.isoformat()},
        },
        live=0 if before is not None else 15,
    )
