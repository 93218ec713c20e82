"""Enqueue what a row of `schedules` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pgjobs.schedule import columns_of

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg


def enqueue_scheduled(conn: psycopg.Connection[Any], row: Mapping[str, Any], run_at: datetime | None) -> int | None:
    """Enqueue the call in the connection's transaction, as `enqueue` would, and give the job's id.

    `run_at`: the firing that it is for; None: now.

    Raises:
        psycopg.Error: it could not be inserted.

    """
    from pgjobs.db.on_psycopg import run

    columns = columns_of(row)._replace(run_at=run_at)
    ids = run(conn, "enqueue", columns, {name: row[name] for name in ("summary", "signature", "payload")})
    return ids[0] if ids else None
