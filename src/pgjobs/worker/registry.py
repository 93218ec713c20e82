"""The workers' rows: registering, beating, leaving."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from hashlib import md5
from typing import TYPE_CHECKING

from pgjobs import __version__
from pgjobs.db.statements import statement
from pgjobs.settings import settings
from pgjobs.worker.config import DEFAULT_RESCUE_AFTER, QueueSlots

if TYPE_CHECKING:
    import psycopg


def application_name(worker_id: int, role: str = "") -> str:
    """Name a connection of a worker in `pg_stat_activity`; without a role, the beginning of all their names."""
    return f"{settings().schema[:20]} worker {worker_id} {role}"[:63]


def claim_role(queue: str, *, prefix: bool = False) -> str:
    """Give the role of the connection that claims from a queue; `prefix`: no more of it than tells queues apart.

    PostgreSQL cuts names of connections, and keeps ASCII alone: a queue's own name could be that of another one.
    """
    role = f"claim {md5(queue.encode(), usedforsecurity=False).hexdigest()[:8]}"
    return role if prefix else f"{role} {queue}"


def register(
    connection: psycopg.Connection,
    queues: Sequence[QueueSlots],
    *,
    rescue_after: float = DEFAULT_RESCUE_AFTER,
    pooled: bool = False,
) -> int:
    """Make this process a worker, and give its id. Its first claim comes after this is committed.

    `rescue_after`: seconds of silence after which its supervisor takes another worker for dead. `pooled`: whether a
    pooler stands before PostgreSQL. They are for who asks why a job does not run.
    """
    row = connection.execute(
        statement("register_worker"),
        {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": json.dumps({queue.name: queue.concurrency for queue in queues}),
            "version": __version__,
            "rescue_after": rescue_after,
            "signs": bool(settings().signing_keys),
            "pooled": pooled,
            "clock": time.time(),
        },
    ).fetchone()
    assert row is not None  # noqa: S101 (INSERT … RETURNING)
    return int(row[0])


def beat(connection: psycopg.Connection, worker_ids: Sequence[int]) -> set[int]:
    """Beat for workers, and give those that are still in the table; the others were taken for dead."""
    rows = connection.execute(statement("heartbeat"), {"worker_ids": list(worker_ids)}).fetchall()
    return {row[0] for row in rows}
