"""Enqueue what a row of `schedules` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pgjobs.jobs.handle import JobHandle, as_handle
from pgjobs.schedules.stored_call import columns_of, statement_of

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg


def enqueue_scheduled(
    conn: psycopg.Connection[Any], row: Mapping[str, Any], run_at: datetime | None
) -> JobHandle[Any] | None:
    """Enqueue the call in the connection's transaction, as `enqueue` would, and return the job's handle.

    Where another job has its unique key, it is that one's, with `conflict` set, and nothing is raised. None: a
    trigger of the application has kept the row out.

    `run_at`: the firing that it is for; None: now.

    Raises:
        UsageError: the row cannot be read.
        psycopg.Error: it could not be inserted.

    """
    from pgjobs.db.adapters.psycopg import run

    name, values = statement_of(row)
    ids = run(conn, name, columns_of(row)._replace(run_at=run_at), values)
    return as_handle(ids[0]) if ids else None
