"""What `pgjobs top` shows at one moment, as plain values, and the one statement that reads it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from pgjobs.core.errors import ConfigurationError
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import fetch_dicts, run_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

SHOWN_QUEUES = 40
SHOWN_ROWS = 100
MAX_DUE = 200  # jobs that are counted of one queue
MAX_LETTERS = 1_000
WITHIN_MS = 2_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TopQueue:
    """A queue. `latency`: for how many seconds its oldest due job has been due. `busy`, `ended`: of the last minute."""

    name: str
    paused: bool
    latency: float | None
    sla: float | None
    due: int
    running: int
    letters: int
    busy: float | None
    ended: int | None

    @property
    def is_late(self) -> bool:
        """Whether its latency is beyond what was set for it."""
        return self.sla is not None and (self.latency or 0.0) > self.sla


@dataclass(frozen=True, slots=True)
class TopJob:
    """A job that runs, for how many `seconds`, with its progress by its own word."""

    id: int
    queue: str
    task: str
    summary: str | None
    attempt: int
    max_attempts: int
    worker_id: int | None
    seconds: float | None
    done: float | None
    total: float | None
    message: str | None
    cancel_reason: str | None


@dataclass(frozen=True, slots=True)
class TopLetter:
    """A dead letter, and how many `seconds` ago it died."""

    id: int
    queue: str
    task: str
    summary: str | None
    error: str | None
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TopWorker:
    """A worker process. `silent`: seconds since its last heartbeat."""

    id: int
    host: str
    pid: int
    queues: Any
    state: str
    version: str
    up: float
    silent: float
    rescue_after: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it. The numbers `…_in_all` also count what is not listed; of dead letters 1,001 means more than 1,000."""

    now: float
    all_paused: bool
    queues_in_all: int
    queues: tuple[TopQueue, ...]
    running_in_all: int
    running: tuple[TopJob, ...]
    letters_in_all: int
    letters: tuple[TopLetter, ...]
    workers: tuple[TopWorker, ...]


def take_snapshot(conn: psycopg.Connection, part: str = "") -> Snapshot:
    """Read all that is shown. `part`: a text that names, tasks, calls or errors must have.

    Raises:
        ConfigurationError: it takes too long.

    """
    values = {"part": part.lower(), "queues": SHOWN_QUEUES, "rows": SHOWN_ROWS, "cap": MAX_DUE}
    rows = run_within(conn, WITHIN_MS, lambda: fetch_dicts(conn, "top_snapshot", **values), {**LOOK_UPS, "jit": "off"})
    if rows is None:
        raise ConfigurationError(f"PostgreSQL took longer than {WITHIN_MS // 1000} s")
    row = rows[0]
    return Snapshot(
        now=row["now"],
        all_paused=row["all_paused"],
        queues_in_all=row["queues_in_all"],
        queues=_made(TopQueue, row["queues"]),
        running_in_all=row["running_in_all"],
        running=_made(TopJob, row["running"]),
        letters_in_all=row["letters_in_all"],
        letters=_made(TopLetter, row["letters"]),
        workers=_made(TopWorker, row["workers"]),
    )


def _made(kind: type[T], rows: Iterable[Mapping[str, Any]]) -> tuple[T, ...]:
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    return tuple(kind(**{name: row.get(name) for name in names}) for row in rows)
