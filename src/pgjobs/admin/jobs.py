"""List jobs, and show all that is known about one: its row, its dead letter and its worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pgjobs.admin.changes import STATUSES, no_such_job, unknown_status
from pgjobs.core.errors import NotFoundError
from pgjobs.core.text import is_glob, matches_glob
from pgjobs.db.adapters.operations import operation
from pgjobs.db.query import MAX_ID, AnyJob, check_id, check_limit, ended_at, fetch, task_patterns
from pgjobs.db.row_security import check_visible
from pgjobs.job_results.looks import Progress, read_progress
from pgjobs.jobs.meta import has_meta

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import psycopg

PAGE = 5_000  # jobs


@dataclass(frozen=True)
class JobRow:
    """A job as it is listed: its row without the payload.

    `attempt`, `max_attempts`: counted over the job's whole life; `prior_attempts`: those before its last replay.
    """

    id: int
    status: str
    queue: str
    priority: int
    task: str
    summary: str | None
    attempt: int
    max_attempts: int
    prior_attempts: int | None
    run_at: datetime
    enqueued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worker_id: int | None
    error: str | None
    meta: dict[str, Any] | None


@dataclass(frozen=True)
class JobDetail(JobRow):
    """All that is known about a job.

    `timeout`: seconds that an attempt may take (None: no limit). `errors`: one entry per failed attempt.
    `died_at`: when it became a dead letter (None: it is not one). `cost`: tokens of its limit (None: 1). `held`: what a
    waiting job waits for: "later", "needs" or "task" (None: its turn). `waits_for`, `awaited_by`: ids, 10 at most.
    `if_failed`: what it does when one that it waits for does not complete: "wait", "run" or "cancel".
    `result`: what it returned, if that is kept: the JSON, or how large it is (a pickle is not loaded). `result_until`:
    when it expires. `progress`: how far it has come, by its own word.
    """

    timeout: float | None
    executor: str | None
    signed: bool
    payload_bytes: int
    limit_key: str | None
    tenant: str | None
    sequence: str | None
    on_failure: str | None
    breaker: str | None
    cost: float | None
    expires_at: datetime | None
    held: str | None
    waits_for: list[int]
    if_failed: str | None
    awaited_by: list[int]
    errors: list[dict[str, Any]]
    died_at: datetime | None
    worker_host: str | None
    worker_pid: int | None
    result: str | None
    result_until: datetime | None
    progress: Progress | None


@operation
def list_jobs(
    conn: psycopg.Connection,
    *,
    status: str | None = None,
    queue: str | None = None,
    task: str | None = None,
    call: str | None = None,
    error: str | None = None,
    meta: Mapping[str, Any] | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[JobRow]:
    """List jobs, live and finished, the newest id first.

    `status`, `queue`: only jobs in it; a queue may be a glob, such as `mail-*`. `task`: a task (`module:qualname`), a
    module, or a glob.
    `call`, `error`: only jobs whose call, such as `send(42)`, or whose last error contains this text; capitals count as
    small letters. `meta`: only jobs whose metadata has these keys with these values, such as `{"user": 7}`; a text also
    means what it is in JSON, so "7" finds both 7 and "7".
    `limit`: the number of jobs. `before`: only ids below it, for the next page.

    Raises:
        UsageError: there is no such status, or the limit is not a number of rows.
        SchemaError: row level security may hide jobs from this role.

    """
    if status is not None and status not in STATUSES:
        raise unknown_status(status)
    check_limit(limit)
    check_visible(conn)
    found: list[JobRow] = []
    # These are looked for here, page by page: no index helps, and the statement stays as it is for all else.
    queues = queue if queue is not None and is_glob(queue) else None
    size = limit if call is None and error is None and queues is None and not meta else PAGE
    while len(found) < limit:
        page = fetch(
            conn,
            "list_jobs",
            JobRow,
            status=status,
            queue=None if queues else queue,
            tasks=task_patterns(task),
            limit=size,
            before=None if before is None else min(before, MAX_ID),
        )
        found += [
            job
            for job in page
            if _contains(job.summary, call)
            and _contains(job.error, error)
            and (queues is None or matches_glob(queues, job.queue))
            and (not meta or has_meta(job.meta, meta))
        ]
        if len(page) < size:
            break
        before = page[-1].id
    return found[:limit]


def _contains(text: str | None, part: str | None) -> bool:
    return part is None or (text is not None and part.lower() in text.lower())


@operation
def show_job(conn: psycopg.Connection, id: AnyJob) -> JobDetail:
    """Return all that is known about a job. Where its row is past retention, its dead letter still tells.

    Raises:
        NotFoundError: there is no such job.
        UsageError: the id cannot be one.

    """
    number = check_id(id)
    for _ in range(2):  # a job that ends between the two statements is seen by neither
        found = fetch(conn, "find_job", JobDetail, id=number, ended_at=ended_at(conn, [number]))
        if found:
            break
    else:
        check_visible(conn)
        raise NotFoundError(no_such_job(number))
    said: Any = found[0].progress
    return replace(found[0], errors=_entries(found[0].errors), progress=None if said is None else read_progress(said))


def _entries(errors: Any) -> list[dict[str, Any]]:
    """Return the entries of the column `errors`, which may contain any JSON if it was written by hand."""
    if not errors:
        return []
    entries = errors if isinstance(errors, list) else [errors]
    return [entry if isinstance(entry, dict) else {"error": str(entry)} for entry in entries]
