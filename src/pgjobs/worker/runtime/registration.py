"""The workers' rows: registration, heartbeats, and the backends of a worker that is gone."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from hashlib import md5
from typing import TYPE_CHECKING

from pgjobs.core.config import DEFAULT_RESCUE_AFTER, settings
from pgjobs.core.text import one_line
from pgjobs.core.version import VERSION
from pgjobs.db.connection import ANSWER_WITHIN, connect
from pgjobs.db.installation import connection_name
from pgjobs.db.statements import statement
from pgjobs.worker.config import QueueSlots

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg


log = logging.getLogger("pgjobs.worker")
BACKEND_PATIENCE = 5.0  # seconds


def application_name(worker_id: int, role: str = "") -> str:
    """Return the name of a worker's connection in `pg_stat_activity`; without a role, the prefix of all its names."""
    return connection_name(f"worker {worker_id} {role}")


def claim_role(queue: str, *, prefix: bool = False) -> str:
    """Return the role of the connection that claims from a queue; `prefix`: only the part that tells queues apart.

    PostgreSQL truncates names of connections and replaces what is not ASCII, so two queues could get the same name.
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
    """Insert this process's row, and return its id. It is committed before the first claim.

    `rescue_after`: seconds of silence after which its supervisor considers another worker dead. `pooled`: it connects
    through a pooler. Both are reported by `pgjobs why`.
    """
    row = connection.execute(
        statement("register_worker"),
        {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": json.dumps({queue.name: queue.concurrency for queue in queues}, ensure_ascii=False),
            "version": VERSION,
            "rescue_after": rescue_after,
            "signs": bool(settings().signing_keys),
            "pooled": pooled,
            "clock": time.time(),
        },
    ).fetchone()
    assert row is not None  # noqa: S101 (INSERT … RETURNING)
    return int(row[0])


def send_heartbeat(connection: psycopg.Connection, worker_ids: Sequence[int]) -> dict[int, bool]:
    """Send heartbeats for workers, and return those that still have a row; the others were considered dead.

    Each with whether it has a broadcast to run.
    """
    rows = connection.execute(statement("heartbeat"), {"worker_ids": list(worker_ids)}).fetchall()
    return dict(rows)


def awaiting_broadcasts(connection: psycopg.Connection, worker_ids: Sequence[int]) -> set[int]:
    """Return those of these workers that have a broadcast to run."""
    rows = connection.execute(statement("awaiting_broadcasts"), {"worker_ids": list(worker_ids)}).fetchall()
    return {row[0] for row in rows}


def heartbeat_answer_within(rescue_after: float) -> float:
    """Return the seconds within which a heartbeat has to be answered: a third of `rescue_after`."""
    return min(ANSWER_WITHIN, max(1.0, rescue_after / 3))


def terminate_backends(connection: psycopg.Connection, worker_ids: Iterable[int], role: str = "") -> None:
    """End what PostgreSQL may still be doing for workers that are gone, and wait for it, a few seconds at most.

    A claim that was under way when its worker died would otherwise commit after the worker's jobs were taken back. What
    connects meanwhile is not waited for: that worker lives.
    """
    from psycopg.rows import tuple_row  # imported lazily, as psycopg is here

    prefixes = [application_name(worker_id, role) for worker_id in worker_ids]
    pids: list[int] | None = None
    deadline = time.monotonic() + BACKEND_PATIENCE
    while pids is None or (pids and time.monotonic() < deadline):
        if pids:
            time.sleep(0.02)
        # As the role that has logged in, like them: ALTER ROLE … SET role may have given this session another one.
        with connection.transaction(force_rollback=True), connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute("SET LOCAL ROLE NONE")
            # A rescue is one transaction, which would see the same backends again and again, and wait in vain.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            rows = cursor.execute(statement("terminate_backends"), {"prefixes": prefixes, "pids": pids}).fetchall()
        pids = [row[0] for row in rows]


class OwnHeartbeat:
    """The heartbeat of a worker process whose supervisor is gone, while it finishes its running jobs."""

    def __init__(self, database_url: str, worker_id: int, every: float, rescue_after: float) -> None:
        self._database_url = database_url
        self._worker_id = worker_id
        self._every = every
        self._rescue_after = rescue_after
        self._next = 0.0  # monotonic seconds

    def send_if_due(self) -> bool:
        """Send a heartbeat every `every` seconds. False: this worker was considered dead, so it must stop at once."""
        now = time.monotonic()
        if now < self._next:
            return True
        self._next = now + self._every
        try:
            with connect(
                self._database_url,
                application_name=connection_name("own heartbeat"),
                answer_within=heartbeat_answer_within(self._rescue_after),
            ) as connection:
                if send_heartbeat(connection, [self._worker_id]):
                    return True
                log.error("this worker was considered dead and its jobs were taken back: it exits at once")
                return False
        except Exception as error:
            log.warning("heartbeat failed; retrying in %g s: %s", self._every, one_line(error))
        return True
