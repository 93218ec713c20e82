"""What is known of an installation at one moment: plain values, read from the row that `doctor.sql` gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pgjobs.db.stuck_jobs import StuckJob
from pgjobs.diagnose.finding import Why
from pgjobs.diagnose.rows import Holder, WorkerSnapshot, read_holders, read_workers


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job that has been due for some seconds. `why` it does not run: None if it was not asked."""

    id: int
    due_for: float
    why: Why | None = None


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue with jobs or settings. `due`: its oldest due job, and the oldest of some lanes.

    `sla`: seconds that a due job may wait (None: nothing was set).
    """

    name: str
    paused: bool = False
    paused_for: float | None = None
    due: tuple[DueJob, ...] = ()
    sla: float | None = None

    def late_after(self, usually: float) -> float:
        """Return the seconds after which a due job is late: the SLA, or what is usual."""
        return usually if self.sla is None else self.sla

    @property
    def due_for(self) -> float | None:
        """Seconds since the oldest of its due jobs became due; None: no job is due."""
        return max((job.due_for for job in self.due), default=None)


@dataclass(frozen=True, slots=True)
class AwaitedJob:
    """A due job of a queue in which `running` jobs run; of these, `waiters` wait for it."""

    queue: str
    id: int
    waiters: tuple[int, ...]
    running: int


@dataclass(frozen=True, slots=True)
class TableState:
    """What PostgreSQL has counted of a table. `vacuumed`: seconds ago (None: never). `off`: no autovacuum for it."""

    name: str
    live: int = 0
    dead: int = 0
    vacuumed: float | None = None
    off: bool = False


@dataclass(frozen=True, slots=True)
class DetachedDay:
    """A table that was a day of history.

    `pending`: DETACH … CONCURRENTLY was interrupted. `coming`: the day is not over.
    """

    name: str
    pending: bool = False
    coming: bool = False


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything that the doctor looks at, at one moment.

    `revision`, `expected`: of the tables. `clock_ahead`: seconds by which this machine's clock is ahead of that of
    PostgreSQL, give or take `clock_error`. `pooled`: a pooler is in between. `has_key`: this process has a signing
    key. `counted`: whether what takes a scan was looked at. `orphans`: running jobs whose worker has no row. `signed`,
    `unsigned`: jobs that wait, among the first ones. `paused_for`: seconds for which everything has been paused.
    `stuck`: jobs that wait for one that did not complete. `workflows`: those in which nothing can go on by itself.
    `broadcasts`: that have run for long somewhere.
    `jams`: full stages of pipelines in which nothing runs.
    `died`: dead letters of the last hour (1,000: or more), `died_task` the task that most of them are of, `died_error`
    the error of the last one, `died_ago` seconds ago; `died_usually` in an hour of the day before. `lost_died`,
    `lost_retried`: jobs whose own connection to a database was lost, dead in the last hour and to be retried, and
    `lost_error` of one. `fan_ins`: jobs that wait for others of which none is left.
    `id_ahead`: the largest id, where the sequence is behind it. `foreign_triggers`: "name on table", of triggers and
    rules of others. `foreign_keys`: of others' tables, to ours. `unlogged`: tables that a crash empties.
    `row_security`: tables with it; `hidden`: those of which it may hide rows from this role.
    `without_identity`: tables that are published and have no replica identity. `notify_usage`: of PostgreSQL's NOTIFY
    queue, from 0 to 1.
    """

    version: str
    revision: str | None
    expected: str
    server_version: int
    settings: dict[str, str] = field(default_factory=dict)
    oldest_server: int = 14
    replica: bool = False
    frozen_age: int = 0
    connections: int = 0
    clock_ahead: float = 0.0
    clock_error: float = 0.0
    pooled: bool = False
    has_key: bool = False
    tables: tuple[TableState, ...] = ()
    snapshots: tuple[Holder, ...] = ()
    workers: tuple[WorkerSnapshot, ...] = ()
    queues: tuple[QueueState, ...] = ()
    awaited: tuple[AwaitedJob, ...] = ()
    missing_days: tuple[str, ...] = ()
    detached: tuple[DetachedDay, ...] = ()
    in_default: int = 0
    retention_age: float | None = None
    counted: bool = True
    orphans: int = 0
    orphan_workers: tuple[int, ...] = ()
    signed: int = 0
    unsigned: int = 0
    stuck: tuple[StuckJob, ...] = ()
    workflows: tuple[dict[str, Any], ...] = ()
    broadcasts: tuple[dict[str, Any], ...] = ()
    jams: tuple[dict[str, Any], ...] = ()
    died: int = 0
    died_task: str = ""
    died_error: str | None = None
    died_ago: float = 0.0
    died_usually: float = 0.0
    lost_died: int = 0
    lost_retried: int = 0
    lost_error: str | None = None
    fan_ins: tuple[int, ...] = ()
    unused_limits: tuple[str, ...] = ()
    unused_tenants: tuple[str, ...] = ()
    breakers: tuple[dict[str, Any], ...] = ()
    schedules: tuple[dict[str, Any], ...] = ()
    paused_tasks: tuple[dict[str, Any], ...] = ()
    paused_for: float | None = None
    id_ahead: int | None = None
    foreign_triggers: tuple[str, ...] = ()
    foreign_keys: tuple[str, ...] = ()
    unlogged: tuple[str, ...] = ()
    row_security: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    without_identity: tuple[str, ...] = ()
    notify_usage: float = 0.0
    bell_is_there: bool = True

    def heard(self) -> list[WorkerSnapshot]:
        """Return the workers that are heard from."""
        return [worker for worker in self.workers if worker.is_heard]


def read(row: dict[str, Any], *, counted: bool, **known: Any) -> Installation:
    """Read the row that `doctor.sql` gives; `known` is what was found out beside it."""
    orphans, signatures, died = row["orphans"] or {}, row["signatures"] or {}, row["dead_lately"]
    lost = row["lost_connections"]
    scanned = counted and not row["waiting_capped"]  # else what seems unused may be used by a job that was not read
    return Installation(
        server_version=row["server_version"],
        settings=row["settings"] or {},
        replica=row["replica"],
        frozen_age=row["frozen_age"] or 0,
        connections=row["connections"] or 0,
        tables=tuple(TableState(**each) for each in row["tables"]),
        snapshots=read_holders(row["snapshots"]),
        workers=read_workers(row["workers"]),
        queues=tuple(
            QueueState(
                each["name"],
                each["paused"],
                _number(each["paused_for"]),
                tuple(DueJob(job["id"], float(job["due_for"])) for job in each["due"]),
                _number(each["sla"]),
            )
            for each in row["queues"]
        ),
        awaited=tuple(AwaitedJob(**{**each, "waiters": tuple(each["waiters"])}) for each in row["awaited"]),
        missing_days=tuple(row["missing_days"]),
        detached=tuple(DetachedDay(**each) for each in row["detached"]),
        in_default=row["in_default"],
        retention_age=_number(row["retention_age"]),
        counted=counted,
        orphans=orphans.get("jobs") or 0,
        orphan_workers=tuple(each for each in orphans.get("workers") or () if each is not None),
        signed=signatures.get("signed") or 0,
        unsigned=signatures.get("unsigned") or 0,
        workflows=tuple(row["workflows"]),
        broadcasts=tuple(row["broadcasts"]),
        jams=tuple(row["jams"]),
        died=died["letters"] or 0,
        died_task=died["task"] or "",
        died_error=died["error"],
        died_ago=_number(died["last"]) or 0.0,
        died_usually=_number(died["usual"]) or 0.0,
        lost_died=died["lost"] or 0,
        lost_retried=lost["jobs"] or 0,
        lost_error=died["lost_error"] or lost["error"],
        fan_ins=tuple(row["fan_ins"]),
        unused_limits=tuple(row["unused_limits"]) if scanned else (),
        unused_tenants=tuple(row["unused_tenants"]) if scanned else (),
        breakers=tuple({**each, "used": each["used"] or not scanned} for each in row["breakers"]),
        schedules=tuple(row["schedules"]),
        paused_tasks=tuple(row["paused_tasks"]),
        paused_for=_number(row["paused_for"]),
        id_ahead=row["id_ahead"],
        foreign_triggers=tuple(row["foreign_triggers"]),
        foreign_keys=tuple(row["foreign_keys"]),
        unlogged=tuple(row["unlogged"]),
        row_security=tuple(row["row_security"]),
        without_identity=tuple(row["without_identity"]),
        notify_usage=row["notify_usage"] or 0.0,
        bell_is_there=row["bell_is_there"] is not False,
        **known,
    )


def _number(value: Any) -> float | None:
    """Read a number of seconds; JSON has no infinity, and PostgreSQL writes it as text."""
    return None if value is None else float(value)
