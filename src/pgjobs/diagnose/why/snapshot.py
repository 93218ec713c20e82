"""What is known of one job at one moment: plain values, read from the row that `why.sql` gives."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from pgjobs.diagnose.why.words import NEVER

UNHEARD_AFTER = 30.0  # seconds: where a worker's row does not say when its supervisor rescues
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """The job's row, or its dead letter."""

    id: int
    status: str
    queue: str
    priority: int
    task: str
    attempt: int
    max_attempts: int
    run_at: datetime
    prior_attempts: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    worker_id: int | None = None
    error: str | None = None
    error_kind: str | None = None
    last_error: dict[str, Any] | None = None
    timeout: float | None = None
    expires_at: datetime | None = None
    lane: str | None = None
    limit_key: str | None = None
    cost: float | None = None
    sequence: str | None = None
    breaker: str | None = None
    held: str | None = None
    needs: int | None = None
    cancel_reason: str | None = None

    @property
    def tries(self) -> str:
        """The attempts that were made, of those there may be, since the last replay."""
        prior = self.prior_attempts or 0
        return f"attempt {max(self.attempt - prior, 0)} of {self.max_attempts - prior}"

    @property
    def tenant(self) -> str:
        """Whom it takes turns for (`fair_by`); empty: nobody."""
        return (self.lane or "").partition("\x1f")[0]


@dataclass(frozen=True, slots=True)
class QueueSeen:
    """The settings of its queue."""

    name: str
    paused: bool = False
    paused_at: datetime | None = None
    keep_completed: bool = True
    concurrency: int | None = None
    rate: float | None = None
    period: float | None = None
    burst: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker, whatever it serves. `silent_for`: seconds since its last heartbeat."""

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

    @property
    def is_heard(self) -> bool:
        """Whether it has beaten lately: a heart beats at least twice in the time after which it is taken for dead."""
        rescue_after = self.rescue_after or UNHEARD_AFTER
        return self.silent_for <= rescue_after / 2 + min(1.0, rescue_after / 4)

    def __str__(self) -> str:
        return f"worker {self.id} ({self.host}, pid {self.pid})"


@dataclass(frozen=True, slots=True)
class LimitSnapshot:
    """A limit, of a key or of the queue. `tokens`: what its rate has left now (None: it has no rate)."""

    name: str
    concurrency: int | None = None
    rate: float | None = None
    period: float | None = None
    burst: float | None = None
    tokens: float | None = None
    holders: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SequenceSeen:
    """Its sequence: how many wait before it, the first of them, the one that runs, the dead letter that blocks."""

    before: int = 0
    head: dict[str, Any] | None = None
    running: dict[str, Any] | None = None
    dead: int | None = None


@dataclass(frozen=True, slots=True)
class BreakerSeen:
    """A circuit breaker; `probing`: jobs of it that run."""

    name: str
    state: str
    until: datetime | None = None
    probes: int = 1
    probing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PauseSeen:
    """Who is paused: a task or a pattern of tasks, or (with no name) everything."""

    task: str = ""
    paused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NeedSeen:
    """A job that it waits for; `status` is None where there is no such job any more."""

    id: int
    status: str | None
    on_failure: str = "wait"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a snapshot or a transaction: a `session`, a `prepared` transaction, or a replication `slot`.

    `seconds`: for how long, where PostgreSQL knows and tells. `transactions`: how many were begun since.
    """

    kind: str
    name: str
    pid: int | None = None
    state: str | None = None
    seconds: float | None = None
    transactions: int | None = None
    user_name: str | None = None

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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that can keep one job from running, at one moment.

    `cap`: where counts end. `ahead`: queued jobs that are claimed before it. `running`: jobs of its queue that were
    claimed, with some of their ids; `last_start`, `last_finish`: seconds since one of them was. `rate`: jobs of the
    queue per second that finished in the last minute (None: not known). `turn_before`, `turn_lanes`: see `why.sql`.
    """

    id: int
    now: datetime
    job: JobSnapshot | None
    last_id: int | None = None
    died_at: datetime | None = None
    queue: QueueSeen | None = None
    workers: tuple[WorkerSeen, ...] = ()
    cap: int = 10_000
    ahead: int = 0
    running: int = 0
    running_ids: tuple[int, ...] = ()
    last_start: float | None = None
    last_finish: float | None = None
    rate: float | None = None
    turn_before: int = 0
    turn_lanes: int = 0
    key_limit: LimitSnapshot | None = None
    queue_limit: LimitSnapshot | None = None
    sequence: SequenceSeen | None = None
    breaker: BreakerSeen | None = None
    needs: tuple[NeedSeen, ...] = ()
    task_pause: PauseSeen | None = None
    everything_pause: PauseSeen | None = None
    writers: tuple[Holder, ...] = ()
    snapshots: tuple[Holder, ...] = ()
    dead_rows: int = 0

    def serving(self) -> list[WorkerSeen]:
        """Give the workers of its queue."""
        return [worker for worker in self.workers if self.job is not None and self.job.queue in worker.queues]

    def free_slots(self) -> int:
        """Give how many slots of the workers of its queue that are heard from have no job."""
        assert self.job is not None  # noqa: S101 (asked of jobs that wait)
        return sum(w.queues[self.job.queue] for w in self.serving() if w.is_heard) - self.running

    def slots(self) -> int:
        """Give how many slots its queue has at the workers that are heard from."""
        assert self.job is not None  # noqa: S101 (asked of jobs that wait)
        return sum(w.queues[self.job.queue] for w in self.serving() if w.is_heard)


def read(id: int, row: dict[str, Any], cap: int, seen: int) -> Snapshot:
    """Read the row that `why.sql` gives; whatever somebody wrote by hand, it does not fail."""
    running, turn, finished = row["running"] or {}, row["turn"] or {}, row["finished"] or {}
    job = _make(JobSnapshot, row["job"])
    queue = _make(QueueSeen, row["queue"])
    queue_limit = row["queue_limit"]
    if queue_limit is not None and queue is not None:
        settings = {name: getattr(queue, name) for name in ("name", "concurrency", "rate", "period", "burst")}
        queue_limit = {**queue_limit, **settings}
    keeps = queue is None or queue.keep_completed
    return Snapshot(
        id=id,
        now=row["now"],
        job=job,
        last_id=row["last_id"],
        died_at=row["died_at"],
        queue=queue,
        workers=read_workers(row["workers"]),
        cap=cap,
        ahead=row["ahead"] or 0,
        running=running.get("jobs") or 0,
        running_ids=tuple(running.get("ids") or ()),
        last_start=running.get("last_start"),
        last_finish=finished.get("last"),
        rate=_rate(finished, seen) if keeps else None,
        turn_before=turn.get("before") or 0,
        turn_lanes=turn.get("lanes") or 0,
        key_limit=_make(LimitSnapshot, row["key_limit"]),
        queue_limit=_make(LimitSnapshot, queue_limit) if queue is not None else None,
        sequence=_make(SequenceSeen, row["sequence"]),
        breaker=_make(BreakerSeen, row["breaker"]),
        needs=tuple(need for each in row["needs"] or () if (need := _make(NeedSeen, each))),
        task_pause=_make(PauseSeen, row["task_pause"]),
        everything_pause=_make(PauseSeen, row["everything_pause"]),
        writers=read_holders(row["writers"]),
        snapshots=read_holders(row["snapshots"]),
        dead_rows=int(row["dead_rows"]),
    )


def read_workers(rows: list[dict[str, Any]]) -> tuple[WorkerSeen, ...]:
    """Read rows of `workers`; of queues that somebody wrote by hand, what can be read."""
    return tuple(worker for row in rows if (worker := _make(WorkerSeen, {**row, "queues": _slots(row["queues"])})))


def read_holders(rows: list[dict[str, Any]]) -> tuple[Holder, ...]:
    """Read who holds a snapshot or a transaction."""
    return tuple(holder for row in rows if (holder := _make(Holder, row)))


def _rate(finished: dict[str, Any], seen: int) -> float:
    mine, of_all = finished.get("mine") or 0, finished.get("all") or 0
    window = 60.0 if of_all < seen else min(60.0, max(finished.get("seconds") or 0.0, 0.001))
    return float(mine / window)


def _slots(queues: object) -> dict[str, int]:
    if isinstance(queues, dict):
        return {name: slots if isinstance(slots, int) else 1 for name, slots in queues.items()}
    return {str(name): 1 for name in queues} if isinstance(queues, list) else {}


_MOMENTS = {"run_at", "started_at", "finished_at", "expires_at", "paused_at", "until"}
_OBJECTS = {"last_error", "head", "running"}


def _make(kind: type[T], row: dict[str, Any] | None) -> T | None:
    """Make an instance of what the row has; columns that nobody asks for are left out."""
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
