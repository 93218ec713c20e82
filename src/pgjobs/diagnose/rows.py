"""What `why` and `doctor` both read: workers, and transactions that hold snapshots; and how rows become values."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from pgjobs.core.config import DEFAULT_RESCUE_AFTER
from pgjobs.diagnose.text import NEVER

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """A worker, whatever it serves. `silent_for`: seconds since its last heartbeat; `up_for`: since it registered."""

    id: int
    host: str
    pid: int
    silent_for: float
    queues: dict[str, int]
    version: str = ""
    rescue_after: float | None = None
    pooled: bool | None = None
    signs: bool | None = None
    clock_ahead: float | None = None
    up_for: float | None = None

    @property
    def dead_after(self) -> float:
        """Seconds of silence after which its supervisor considers a worker dead; the default if its row has none."""
        return self.rescue_after or DEFAULT_RESCUE_AFTER

    @property
    def is_heard(self) -> bool:
        """Whether its heartbeat is recent: it sends at least two in the time after which it is considered dead."""
        return self.silent_for <= self.dead_after / 2 + min(1.0, self.dead_after / 4)

    def __str__(self) -> str:
        return f"worker {self.id} ({self.host}, pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Holder:
    """What holds a snapshot or a transaction: a `session`, a `prepared` transaction, or a replication `slot`.

    `seconds`: for how long, where PostgreSQL knows and tells. `transactions`: how many were begun since. `key`: which
    limit, sequence, breaker or queue (`key_kind`) it has locked.
    """

    kind: str
    name: str
    pid: int | None = None
    state: str | None = None
    seconds: float | None = None
    transactions: int | None = None
    user_name: str | None = None
    key_kind: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        if self.kind == "slot":
            return f"the {self.state} replication slot {self.name}"
        if self.kind == "prepared":
            return f"the prepared transaction {self.name}"
        parts = [f"pid {self.pid}", self.name or "no application name", self.state or ""]
        return f"the transaction of {', '.join(part for part in parts if part)}"

    @property
    def end(self) -> str:
        """What ends it: a statement, as a rule."""
        match self.kind:
            case "slot" if self.state == "active":
                return "the long query on its standby, which hot_standby_feedback tells of"
            case "slot":
                return f"SELECT pg_drop_replication_slot('{self.name}')"
            case "prepared":
                return f"ROLLBACK PREPARED '{self.name}'"
        return f"SELECT pg_terminate_backend({self.pid})"


def read_workers(rows: list[dict[str, Any]]) -> tuple[WorkerSnapshot, ...]:
    """Read rows of `workers`. Of queues that were written by hand, it reads what it can."""
    return tuple(worker for row in rows if (worker := make(WorkerSnapshot, {**row, "queues": _slots(row["queues"])})))


def read_holders(rows: list[dict[str, Any]]) -> tuple[Holder, ...]:
    """Read what holds a snapshot or a transaction."""
    return tuple(holder for row in rows if (holder := make(Holder, row)))


def _slots(queues: object) -> dict[str, int]:
    if isinstance(queues, dict):
        return {name: slots if isinstance(slots, int) else 1 for name, slots in queues.items()}
    return {str(name): 1 for name in queues} if isinstance(queues, list) else {}


_MOMENTS = {"run_at", "started_at", "finished_at", "expires_at", "paused_at", "until"}
_OBJECTS = {"last_error", "head", "running"}


def make(kind: type[T], row: dict[str, Any] | None) -> T | None:
    """Return an instance of the dataclass, of the columns that have a field; None if there is no row."""
    if not row:
        return None
    values: dict[str, Any] = {}
    for known in fields(kind):  # type: ignore[arg-type]  # a dataclass, each of them
        value = row.get(known.name)
        if value is None and known.default is not MISSING:
            continue  # its default says what NULL means
        if known.name in _MOMENTS:
            value = _moment(value)
        elif known.name in _OBJECTS:
            value = value if isinstance(value, dict) else None
        elif isinstance(value, list):
            value = tuple(value)
        elif isinstance(value, str) and "float" in str(known.type):
            value = float(value)  # infinity, which JSON has no number for
        values[known.name] = value
    return kind(**values)


def _moment(value: object) -> datetime | None:
    """Read a timestamp of JSON; those that Python has no datetime for become its last or first one."""
    if value is None or isinstance(value, datetime):
        return value
    text = str(value)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC) if text.startswith("-") or text.endswith("BC") else NEVER
