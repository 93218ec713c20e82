"""What is known of one job at one moment: plain values, read from the row that `why.sql` gives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgjobs.diagnose.rows import Holder, WorkerSnapshot, make, read_holders, read_workers


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
        """The tenant that it takes turns for (`fair_by`); empty without one."""
        return (self.lane or "").partition("\x1f")[0]


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """The settings of its queue."""

    name: str
    paused: bool = False
    paused_at: datetime | None = None
    keep_completed: bool = True
    concurrency: int | None = None
    rate: float | None = None
    period: float | None = None
    burst: float | None = None

    @property
    def is_limited(self) -> bool:
        """Whether it has a limit of its own."""
        return self.concurrency is not None or self.rate is not None


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
class SequenceSnapshot:
    """Its sequence: how many wait before it, the first of them, the one that runs, the dead letter that blocks.

    `ending`: the dead letter that ends it, while rows that were to be cancelled with it are locked.
    """

    before: int = 0
    head: dict[str, Any] | None = None
    running: dict[str, Any] | None = None
    dead: int | None = None
    ending: int | None = None


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """A circuit breaker; `probing`: jobs of it that run."""

    name: str
    state: str
    until: datetime | None = None
    probes: int = 1
    probing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PauseSnapshot:
    """What is paused: a task or a pattern of tasks, or (with no name) everything."""

    task: str = ""
    paused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NeedSnapshot:
    """A job that it waits for.

    `status`: None if it has no row; `is_unclear`: then it has completed, or is not committed yet. `letter`: there is a
    dead letter of it. `step`: what it is called in its workflow; None: it is not a step.
    """

    id: int
    status: str | None
    on_failure: str = "wait"
    letter: bool = False
    is_unclear: bool = False
    step: str | None = None


@dataclass(frozen=True, slots=True)
class StepSnapshot:
    """What it is in its workflow: `needed`: how many steps it waited for at first. `paused`: the workflow is."""

    workflow: int
    workflow_name: str
    name: str
    needed: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class StageSnapshot:
    """What it is in its pipeline.

    `room`: how many items of its stage may start, because `waiting` wait in the `next` one, where `at_most` may. None:
    any number.
    """

    pipeline: str
    stage: str
    paused: bool = False
    at_most: int = 0
    next: str | None = None
    room: int | None = None
    waiting: int = 0

    @property
    def coming(self) -> int:
        """How many items run in its stage now, and will wait in the next one."""
        return max(0, self.at_most - min(self.waiting, self.at_most) - (self.room or 0))


@dataclass(frozen=True, slots=True)
class WaitSnapshot:
    """What it waits for in the middle of its work: a signal, or (None) the end of a sleep. `until`: at most."""

    signal: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AwaitedSnapshot:
    """A job of its queue that waits for a slot, while `waiters` run and wait for it. It may be the job itself."""

    id: int
    waiters: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that can keep one job from running, at one moment.

    `cap`: where counts end. `ahead`: queued jobs that are claimed before it. `running`: jobs of its queue that were
    claimed, with some of their ids; `last_start`, `last_finish`: seconds since one of them was. `rate`: jobs of the
    queue per second that finished in the last minute (None: not known). `turn_before`, `turn_lanes`, `batch_jobs`,
    `batch_waited`: see `why.sql`.
    """

    id: int
    now: datetime
    job: JobSnapshot | None
    last_id: int | None = None
    died_at: datetime | None = None
    queue: QueueSnapshot | None = None
    workers: tuple[WorkerSnapshot, ...] = ()
    cap: int = 10_000
    ahead: int = 0
    running: int = 0
    running_ids: tuple[int, ...] = ()
    last_start: float | None = None
    last_finish: float | None = None
    rate: float | None = None
    turn_before: int = 0
    turn_lanes: int = 0
    awaited: AwaitedSnapshot | None = None
    batch_jobs: int = 0
    batch_waited: float = 0.0
    key_limit: LimitSnapshot | None = None
    queue_limit: LimitSnapshot | None = None
    sequence: SequenceSnapshot | None = None
    breaker: BreakerSnapshot | None = None
    needs: tuple[NeedSnapshot, ...] = ()
    step: StepSnapshot | None = None
    stage: StageSnapshot | None = None
    wait: WaitSnapshot | None = None
    task_pause: PauseSnapshot | None = None
    everything_pause: PauseSnapshot | None = None
    writers: tuple[Holder, ...] = ()
    snapshots: tuple[Holder, ...] = ()
    dead_rows: int = 0
    key_locks: tuple[Holder, ...] = ()

    def serving(self) -> list[WorkerSnapshot]:
        """Return the workers of its queue."""
        return [worker for worker in self.workers if self.job is not None and self.job.queue in worker.queues]

    def free_slots(self) -> int:
        """Return how many slots of the workers of its queue that are heard from have no job."""
        assert self.job is not None  # noqa: S101 (asked of jobs that wait)
        return sum(w.queues[self.job.queue] for w in self.serving() if w.is_heard) - self.running

    def slots(self) -> int:
        """Return how many slots its queue has at the workers that are heard from."""
        assert self.job is not None  # noqa: S101 (asked of jobs that wait)
        return sum(w.queues[self.job.queue] for w in self.serving() if w.is_heard)


def read(id: int, row: dict[str, Any], cap: int, seen: int) -> Snapshot:
    """Read the row of `why.sql`. Rows may have been written by hand: it never raises."""
    running, turn, finished = row["running"] or {}, row["turn"] or {}, row["finished"] or {}
    job = make(JobSnapshot, row["job"])
    queue = make(QueueSnapshot, row["queue"])
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
        awaited=make(AwaitedSnapshot, row["awaited"]),
        batch_jobs=turn.get("batch") or 0,
        batch_waited=turn.get("waited") or 0.0,
        key_limit=make(LimitSnapshot, row["key_limit"]),
        queue_limit=make(LimitSnapshot, queue_limit) if queue is not None else None,
        sequence=make(SequenceSnapshot, row["sequence"]),
        breaker=make(BreakerSnapshot, row["breaker"]),
        needs=tuple(need for each in row["needs"] or () if (need := make(NeedSnapshot, each))),
        step=make(StepSnapshot, row["step"]),
        stage=make(StageSnapshot, row["stage"]),
        wait=make(WaitSnapshot, row["wait"]),
        task_pause=make(PauseSnapshot, row["task_pause"]),
        everything_pause=make(PauseSnapshot, row["everything_pause"]),
        writers=read_holders(row["writers"]),
        snapshots=read_holders(row["snapshots"]),
        dead_rows=int(row["dead_rows"]),
        key_locks=read_holders(row["key_locks"]),
    )


def _rate(finished: dict[str, Any], seen: int) -> float:
    mine, of_all = finished.get("mine") or 0, finished.get("all") or 0
    window = 60.0 if of_all < seen else min(60.0, max(finished.get("seconds") or 0.0, 0.001))
    return float(mine / window)
