"""Workflows, and the graph of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs import admin
from pgjobs.web.graph import WIDTH, draw
from pgjobs.web.visit import Page

if TYPE_CHECKING:
    from pgjobs.web.visit import Visit

PER_PAGE = 50
STATUSES = ("running", "stuck", "completed", "failed", "cancelled")
NODES = 200  # that are listed


def workflows(visit: Visit) -> Page:
    """List workflows, the newest first."""
    status, name, before = visit.asked("status"), visit.asked("name"), visit.number("before")
    if status not in STATUSES:
        status = None
    found = visit.rows(
        "workflows",
        lambda: admin.list_workflows(visit.conn, status=status, name=name, limit=PER_PAGE + 1, before=before),
    )
    return Page(
        "workflows.html",
        {
            "workflows": found[:PER_PAGE],
            "asked": {"status": status, "name": name},
            "statuses": STATUSES,
            "before": before,
            "next": found[PER_PAGE - 1].id if len(found) > PER_PAGE else None,
        },
        live=0 if before is not None else 5,
    )


def workflow(visit: Visit) -> Page:
    """Show the graph of a workflow, its critical path, and how its steps are."""
    found = admin.show_workflow(visit.conn, visit.id())
    names = {node.id: node.name for node in found.nodes}
    return Page(
        "workflow.html",
        {
            "workflow": found,
            "graph": draw(found.nodes, found.path),
            "width": WIDTH,
            "nodes": found.nodes[:NODES],
            "more_nodes": max(len(found.nodes) - NODES, 0),
            "names": names,
            "path": [names[each] for each in found.path[:30] if each in names],
        },
        live=5 if found.ended_at is None else 0,
    )
