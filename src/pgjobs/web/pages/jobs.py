"""Jobs by filters, and all about one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs import admin
from pgjobs.core.errors import PgjobsError
from pgjobs.core.text import is_glob, matches_glob
from pgjobs.web.pages.charts import charts
from pgjobs.web.visit import Page

if TYPE_CHECKING:
    from pgjobs.admin import JobDetail, JobRow
    from pgjobs.web.visit import Visit

PER_PAGE = 50
CHARTS = (("rates", "Jobs of this task that ended"), ("runs", "How long they ran"))
SEARCHED = 2_000  # jobs that a text is looked for in; the next page continues behind them
STATUSES = ("running", "queued", "waiting", "failed", "cancelled", "completed")


def jobs(visit: Visit) -> Page:
    """List jobs, the newest first."""
    asked = {name: visit.asked(name) for name in ("status", "queue", "task", "call", "error")}
    before = visit.number("before")
    if asked["status"] not in (None, *STATUSES):
        asked["status"] = None
    # No index helps to find a text, so a page looks at a bounded number of jobs, and says where it ended.
    queue = asked["queue"]
    has_text = asked["call"] is not None or asked["error"] is not None or (queue is not None and is_glob(queue))
    size = SEARCHED if has_text else PER_PAGE + 1
    plain = None if queue is not None and is_glob(queue) else queue
    only_running = asked["status"] == "running" and before is None and asked["task"] is None and not has_text
    page = visit.rows(
        "jobs",
        lambda: (
            admin.list_running(visit.conn, queues=None if plain is None else [plain], limit=PER_PAGE + 1)
            if only_running
            else admin.list_jobs(
                visit.conn, status=asked["status"], queue=plain, task=asked["task"], limit=size, before=before
            )
        ),
    )
    found = [job for job in page if _fits(job, asked)]
    shown = found[:PER_PAGE]
    last = shown[-1].id if len(found) > PER_PAGE else page[-1].id if has_text and len(page) == size else None
    return Page(
        "jobs.html",
        {
            "jobs": shown,
            "asked": asked,
            "statuses": STATUSES,
            "before": before,
            "next": last,
            "searched": len(page) if has_text and len(found) <= PER_PAGE and len(page) == size else None,
        },
        live=0 if before is not None else 5,
    )


def _fits(job: JobRow, asked: dict[str, str | None]) -> bool:
    queue = asked["queue"]
    return (
        _contains(job.summary or job.task, asked["call"])
        and _contains(job.error, asked["error"])
        and (queue is None or not is_glob(queue) or matches_glob(queue, job.queue))
    )


def _contains(text: str | None, part: str | None) -> bool:
    return part is None or (text is not None and part.lower() in text.lower())


def job(visit: Visit) -> Page:
    """Show all about one job, and why it does not run or how it ended."""
    number = visit.id()
    found = admin.show_job(visit.conn, number)
    return Page(
        "job.html",
        {
            "job": found,
            "why": visit.look("why", lambda: admin.why(visit.conn, number)),
            "attempts": [_attempt(each) for each in reversed(found.errors)],
            "has_json": visit.look("arguments", lambda: _has_json(visit, found)) if _may_change(found) else False,
            "charts": charts(visit, CHARTS, [found.queue], task=found.task, times=True),
            "near": visit.look("neighbours", lambda: admin.show_neighbours(visit.conn, found)),
        },
        live=5 if found.finished_at is None else 0,
    )


def _may_change(job: JobDetail) -> bool:
    return job.status in ("queued", "waiting") or job.died_at is not None


def _has_json(visit: Visit, job: JobDetail) -> bool:
    """Return True if the arguments of a job are JSON, which can be changed here."""
    try:
        admin.show_arguments(visit.conn, job)
    except PgjobsError:
        return False
    return True


def _attempt(entry: dict[str, Any]) -> dict[str, str | None]:
    """Return an attempt as it is shown: the entry may contain any JSON if it was written by hand."""
    names = ("attempt", "at", "host", "worker", "error", "traceback")
    return {name: None if entry.get(name) is None else str(entry[name]) for name in names}
