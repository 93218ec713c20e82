"""What an attempt led to, as data; and what a job may raise to ask for it.

The state machine of a job: an attempt turns `running` into the next state by exactly one of these.

    Completed ─▶ completed
    Retried   ─▶ queued, later
    Failed    ─▶ failed, with a dead letter
    Snoozed   ─▶ queued, later; the attempt does not count
    Cancelled ─▶ cancelled
    Released  ─▶ queued, now; the attempt does not count
    Parked    ─▶ waiting, until its task is resumed; the attempt does not count

What was asked to be cancelled ends as completed, if the callable returns all the same, and else as cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from pgjobs.core.validate import Seconds, check_seconds
from pgjobs.flow.stage import NextItems
from pgjobs.flow.workflow_state import GrownSteps
from pgjobs.jobs.halving import Search


class Snooze(Exception):
    """Raise it in a job that is to run again after a delay, without using up an attempt."""

    def __init__(self, seconds: Seconds) -> None:
        self.seconds = check_seconds("Snooze.seconds", seconds)
        super().__init__(f"snooze for {self.seconds:g} s")

    def __reduce__(self) -> tuple[type[Snooze], tuple[float]]:
        """Survive the way back from a child process."""
        return type(self), (self.seconds,)


class Retry(Exception):
    """Raise it in a job that is to run again after a delay (default: the job's backoff); it uses up an attempt."""

    def __init__(self, in_seconds: Seconds | None = None, reason: str = "the job asked to be retried") -> None:
        self.in_seconds = None if in_seconds is None else check_seconds("Retry.in_seconds", in_seconds)
        self.reason = reason
        super().__init__(reason)

    def __reduce__(self) -> tuple[type[Retry], tuple[float | None, str]]:
        """Survive the way back from a child process."""
        return type(self), (self.in_seconds, self.reason)


class Suspended(BaseException):
    """What `wait_for` and `sleep` leave a job by: it runs again after a delay, or when what it waits for has come.

    No Exception: a job that catches all of those is not to catch this.
    """

    def __init__(self, seconds: float, reason: str) -> None:
        self.seconds, self.reason = seconds, reason
        super().__init__(reason)

    def __reduce__(self) -> tuple[type[Suspended], tuple[float, str]]:
        """Survive the way back from a child process."""
        return type(self), (self.seconds, self.reason)


class Cancel(Exception):
    """Raise it in a job to end it as `cancelled`, with a reason and without a retry."""

    def __init__(self, reason: str = "the job cancelled itself") -> None:
        self.reason = reason
        super().__init__(reason)


class ErrorKind(StrEnum):
    """What went wrong in an attempt, as the column `error_kind` stores it."""

    EXCEPTION = "exception"
    """The job raised it."""
    RETRY = "retry"
    """The job raised `Retry`."""
    TIMEOUT = "timeout"
    """It ran longer than its timeout."""
    STUCK = "stuck"
    """It went on long after its timeout or its cancellation, and its worker process was replaced."""
    CRASHED = "crashed"
    """Its process died, or its worker fell silent."""
    MODULE_MISSING = "module_missing"
    """A module that it needs is not installed where the worker runs."""
    NAME_MISSING = "name_missing"
    """Its module has no such name, or cannot be imported."""
    PAYLOAD = "payload"
    """Its payload cannot be loaded for another reason: it is damaged, too large, or made by other code."""
    NOT_ALLOWED = "not_allowed"
    """The worker's allow-list does not have what it calls."""
    SIGNATURE = "signature"
    """It is unsigned or wrongly signed, and the worker has a key."""


@dataclass(frozen=True, slots=True)
class KeptResult:
    """What the callable returned, as bytes: JSON or a pickle. `seconds`: how long it is kept."""

    value: bytes
    is_json: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Completed:
    """The callable returned. `result`: what, if the job keeps it. `is_step`: of a workflow. `grown`: what it adds.

    `items`: what an item of a pipeline has led to in the next stage.
    """

    result: KeptResult | None = None
    is_step: bool = False
    grown: GrownSteps | None = None
    items: NextItems | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """The attempt failed and others are left: queued again, `delay` seconds from now."""

    error: str
    delay: float
    traceback: str | None = None
    isolate: bool = False  # the next attempt runs in a process of its own: this one may have killed its worker
    answered: bool | None = None  # of a job with a breaker: whether the dependency answered; None: that is not known
    kind: ErrorKind = ErrorKind.EXCEPTION


@dataclass(frozen=True, slots=True)
class Failed:
    """The last attempt failed, or the error is one that no retry can fix."""

    error: str
    traceback: str | None = None
    answered: bool | None = None  # as in Retried
    kind: ErrorKind = ErrorKind.EXCEPTION


@dataclass(frozen=True, slots=True)
class Snoozed:
    """Queued again, `delay` seconds from now. `began`: the job ran; False: something that it needs was missing."""

    delay: float
    began: bool = True


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Ended by its own wish, or because it was asked to."""

    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """Handed back at its old place: claimed and not started, or interrupted by a shutdown (`began`).

    `isolate`: it runs in a process of its own the next time, because a job beside it may have killed its worker.
    """

    began: bool = False
    isolate: bool = False


@dataclass(frozen=True, slots=True)
class Parked:
    """Claimed and not started, because `task` is paused, the name or pattern in `paused_tasks`."""

    task: str


@dataclass(frozen=True, slots=True, eq=False)
class Divided:
    """A call for several jobs failed: those that have the same `Divided` run again now, in `parts`.

    It is the same attempt of theirs: nothing is written. `search`: what is known from other parts.
    """

    error: str
    parts: int = 2
    search: Search | None = None


@dataclass(frozen=True, slots=True)
class Several:
    """What each job of a batch has come to, in their order."""

    outcomes: tuple[Outcome, ...]


Outcome: TypeAlias = Completed | Retried | Failed | Snoozed | Cancelled | Released | Parked | Divided | Several
COMPLETED = Completed()
COMPLETED_STEP = Completed(is_step=True)
RELEASED = Released()
INTERRUPTED = Released(began=True)
CANCELLED_ON_REQUEST = Cancelled("cancelled on request")  # the request's own reason is in the database


def reason_of(outcome: Outcome) -> str:
    """Return the error or the reason of an outcome in one line."""
    return getattr(outcome, "error", None) or getattr(outcome, "reason", None) or type(outcome).__name__.lower()


def ends_job(outcome: Outcome) -> bool:
    """Return True if the job runs no more after this."""
    return isinstance(outcome, Completed | Failed | Cancelled)
