"""The other pages: schedules, limits, workers, subscriptions, pipelines, the doctor, the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs import admin
from pgjobs.web.visit import Page

if TYPE_CHECKING:
    from pgjobs.web.visit import Visit

PER_PAGE = 50
MOST = 500  # rows of a list that has no pages


def schedules(visit: Visit) -> Page:
    """List schedules, the next to fire first."""
    found = visit.rows("schedules", lambda: admin.list_schedules(visit.conn))
    found = sorted(found, key=lambda each: (each.next_at is None, each.next_at or each.created_at, each.name))
    return Page("schedules.html", _most("schedules", found), live=15)


def limits(visit: Visit) -> Page:
    """Show limits, tenants and breakers."""
    limits = visit.rows("limits", lambda: admin.list_limits(visit.conn))
    tenants = visit.rows("tenants", lambda: admin.list_tenants(visit.conn))
    breakers = visit.rows("breakers", lambda: admin.list_breakers(visit.conn))
    order = {"open": 0, "half_open": 1, "closed": 2}
    breakers = sorted(breakers, key=lambda each: (order[each.state], each.name))
    values = _most("limits", limits) | {
        "tenants": tenants[:MOST],
        "more_tenants": max(len(tenants) - MOST, 0),
        "breakers": breakers[:MOST],
        "more_breakers": max(len(breakers) - MOST, 0),
    }
    return Page("limits.html", values, live=5)


def workers(visit: Visit) -> Page:
    """List worker processes."""
    found = visit.rows("workers", lambda: admin.list_workers(visit.conn))
    return Page("workers.html", _most("workers", found), live=5)


def subscriptions(visit: Visit) -> Page:
    """List subscriptions to events, topics and broadcasts."""
    found = visit.rows("subscriptions", lambda: admin.list_subscriptions(visit.conn))
    values = _most("subscriptions", found) | {
        "topics": visit.rows("topics", lambda: admin.list_topics(visit.conn))[:MOST],
        "broadcasts": visit.rows("broadcasts", lambda: admin.list_broadcasts(visit.conn, limit=20)),
    }
    return Page("subscriptions.html", values, live=15)


def pipelines(visit: Visit) -> Page:
    """List pipelines, with what waits in their stages."""
    found = visit.rows("pipelines", lambda: admin.list_pipelines(visit.conn))
    return Page("pipelines.html", _most("pipelines", found), live=5)


def doctor(visit: Visit) -> Page:
    """Show what is wrong with the installation."""
    found = visit.shared.diagnosis()
    return Page("doctor.html", {"diagnosis": found}, live=2 if found is None else 30)


def audit(visit: Visit) -> Page:
    """List what was done, the newest first."""
    by, action, before = visit.asked("by"), visit.asked("action"), visit.number("before")
    found = visit.rows(
        "the audit",
        lambda: admin.list_audit(visit.conn, by=by, action=action, limit=PER_PAGE + 1, before=before),
    )
    values = {
        "entries": found[:PER_PAGE],
        "asked": {"by": by, "action": action},
        "before": before,
        "next": found[PER_PAGE - 1].id if len(found) > PER_PAGE else None,
    }
    return Page("audit.html", values, live=0 if before is not None else 15)


def _most(name: str, rows: list[Any]) -> dict[str, Any]:
    return {name: rows[:MOST], "more": max(len(rows) - MOST, 0)}
