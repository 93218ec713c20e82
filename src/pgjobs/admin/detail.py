"""A job as it is listed, and all that is known about one: its row, its dead letter and its worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import NotFoundError
from pgjobs.db.query import check_ids, fetch

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg


@dataclass(frozen=True)
class JobRow:
    """A job as it is listed: its row without the payload. `attempt` and `max_attempts` count over its whole life."""

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


@dataclass(frozen=True)
class JobDetail(JobRow):
    """All that is known about a job.

    `timeout`: seconds that an attempt may take (None: no limit). `errors`: one entry per failed attempt.
    `died_at`: when it became a dead letter (None: it is none). `cost`: tokens of its limit (None: 1). `held`: what a
    waiting job waits for: later, needs or task (None: its turn). `waits_for`, `awaited_by`: ids, 10 at most.
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
    awaited_by: list[int]
    errors: list[dict[str, Any]]
    died_at: datetime | None
    worker_host: str | None
    worker_pid: int | None


def show_job(conn: psycopg.Connection, id: int) -> JobDetail:
    """Show a job: live, finished, or only its dead letter, where its row is past retention.

    Raises:
        NotFoundError: there is no such job.
        UsageError: it is no id.

    """
    check_ids([id])
    found = fetch(conn, "find_job", JobDetail, id=id)
    if not found:
        raise NotFoundError(f"There is no job {id}: it never was, or it is not kept any more.")
    return replace(found[0], errors=_entries(found[0].errors))


def _entries(errors: Any) -> list[dict[str, Any]]:
    """Make a list of entries of what the column holds: whoever writes it by hand may write any JSON."""
    if not errors:
        return []
    entries = errors if isinstance(errors, list) else [errors]
    return [entry if isinstance(entry, dict) else {"error": str(entry)} for entry in entries]
