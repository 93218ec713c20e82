"""The job that runs here: what `current_job()` returns inside a job."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class RunningJob(Protocol):
    """What the worker keeps of a job that runs, as far as `CurrentJob` shows it."""

    id: int
    claim_number: int
    task: str
    queue: str
    attempt: int
    max_attempts: int
    prior_attempts: int | None
    priority: int
    run_at: datetime
    timeout: float | None
    cancelled: bool
    completing: bool
    releases: bool
    meta: dict[str, Any] | None


class CurrentJob:
    """The running job. Every attribute is read-only; only `cancelled` changes while the job runs."""

    __slots__ = ("_job",)

    def __init__(self, job: RunningJob) -> None:
        self._job = job

    @property
    def id(self) -> int:
        """The job's id, the same in every attempt."""
        return self._job.id

    @property
    def task(self) -> str:
        """The name of what it runs, `module:qualname` by default."""
        return self._job.task

    @property
    def queue(self) -> str:
        """The queue it was claimed from."""
        return self._job.queue

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._job.attempt

    @property
    def max_attempts(self) -> int:
        """How many attempts it has in all; a replay of a dead job adds to them."""
        return self._job.max_attempts

    @property
    def prior_attempts(self) -> int | None:
        """The attempts before the last replay, which `attempt` and `max_attempts` include; 0 or None: no replay."""
        return self._job.prior_attempts

    @property
    def priority(self) -> int:
        """From 0 (first) to 9."""
        return self._job.priority

    @property
    def run_at(self) -> datetime:
        """When this attempt was due."""
        return self._job.run_at

    @property
    def timeout(self) -> float | None:
        """Seconds that this attempt may take; None: no limit."""
        return self._job.timeout

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to end (`pgjobs jobs cancel`). Reading it runs no query, so a loop may."""
        return self._job.cancelled

    @property
    def meta(self) -> dict[str, Any]:
        """The JSON object that travels with the job; empty if it was enqueued without one."""
        return self._job.meta or {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CurrentJob) and self._job is other._job

    def __hash__(self) -> int:
        return hash(self._job.id)

    def __repr__(self) -> str:
        return f"<job {self.id} {self.task} attempt {self.attempt} of {self.max_attempts} queue {self.queue}>"


current: ContextVar[RunningJob | None] = ContextVar("pgjobs_current_job", default=None)


def current_job() -> CurrentJob:
    """Return the job that is running here.

    Raises:
        LookupError: no job is running here.

    """
    job = current.get()
    if job is None:
        raise LookupError("current_job() was called outside a job; call it in the function that the job runs.")
    return CurrentJob(job)
