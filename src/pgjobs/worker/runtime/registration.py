"""The workers' rows: registering, beating, leaving."""

from __future__ import annotations

import json
import os
import socket
import time
from hashlib import md5
from typing import TYPE_CHECKING

from pgjobs.core.config import settings
from pgjobs.core.version import VERSION
from pgjobs.db.connection import ANSWER_WITHIN
from pgjobs.db.statements import statement
from pgjobs.worker.config import DEFAULT_RESCUE_AFTER, QueueSlots

if TYPE_CHECKING:
    from collections.abc import Sequence

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
            "version": VERSION,
            "rescue_after": rescue_after,
            "signs": bool(settings().signing_keys),
            "pooled": pooled,
            "clock": time.time(),
        },
    ).fetchone()
    assert row is not None  # noqa: S101 (INSERT … RETURNING)
    return int(row[0])


def send_heartbeat(connection: psycopg.Connection, worker_ids: Sequence[int]) -> set[int]:
    """Beat for workers, and give those that are still in the table; the others were taken for dead."""
    rows = connection.execute(statement("heartbeat"), {"worker_ids": list(worker_ids)}).fetchall()
    return {row[0] for row in rows}


def heartbeat_timeout(rescue_after: float) -> float:
    """Give the seconds in which a beat has to be answered: a third of what makes a silent worker a dead one."""
    return min(ANSWER_WITHIN, max(1.0, rescue_after / 3))


BACKEND_PATIENCE = 5.0  # seconds


def terminate_backends(connection: psycopg.Connection, worker_id: int, role: str = "") -> None:
    """End what PostgreSQL may still be doing for a worker that is gone, and wait for it, some seconds at most.

    A claim that was under way when its worker died would commit after the look for what the worker had claimed.
    """
    prefix = application_name(worker_id, role)
    deadline = time.monotonic() + BACKEND_PATIENCE
    while True:
        row = connection.execute(statement("terminate_backends"), {"prefix": prefix}).fetchone()
        if row is None or not row[0] or time.monotonic() > deadline:
            return
        time.sleep(0.02)
