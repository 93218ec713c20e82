"""The job that is running here: what `current_job()` gives, inside a job."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import datetime
from typing import Any

from pgjobs.jobs.retry import since_replay


class CurrentJob:
    """A job that a worker has claimed.

    `id`; `task`: `module:qualname`; `queue`; `attempt`: which one this is, from 1; `max_attempts`; `prior_attempts`:
    those before the last replay (None: there was none), which both numbers go on from; `priority`: 0 (first) to 9;
    `run_at`: when it was due; `timeout`: seconds that the attempt may take (None: no limit); `cancelled`: whether
    somebody has asked for its end. The rest is the worker's own business.
    """

    # The worker makes one for each row that it claims, so it is kept bare. From `id` on the arguments are the columns
    # that `claim.sql` returns, in its order.

    __slots__ = (
        "_asked",  # not set as a rule
        "attempt",
        "claim",
        "executor",
        "id",
        "isolate",
        "local_queue",
        "max_attempts",
        "payload",
        "prior_attempts",
        "priority",
        "queue",
        "run_at",
        "signature",
        "task",
        "timeout",
    )

    def __init__(
        self,
        queue: str,
        local_queue: Any,
        id: int,
        claim: int,
        attempt: int,
        max_attempts: int,
        prior_attempts: int | None,
        priority: int,
        run_at: datetime,
        task: str,
        executor: str | None,
        isolate: bool | None,
        timeout: float | None,
        signature: bytes | None,
        payload: bytes,
    ) -> None:
        self.queue = queue
        self.local_queue = local_queue
        self.id = id
        self.claim = claim
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.prior_attempts = prior_attempts
        self.priority = priority
        self.run_at = run_at
        self.task = task
        self.executor = executor
        self.isolate = isolate
        self.timeout = timeout
        self.signature = signature
        self.payload = payload

    @property
    def breaker(self) -> str | None:
        """The name of its circuit breaker, if it has one."""
        return None

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to end (`pgjobs jobs cancel`); to look costs next to nothing, so a loop may."""
        return getattr(self, "_asked", False)

    def ask_to_cancel(self) -> None:
        """Make `cancelled` true, in the worker that runs it."""
        self._asked = True

    def budget(self) -> tuple[int, int]:
        """Give the attempt and the most there may be, as counted since the last replay."""
        return since_replay(self.attempt, self.max_attempts, self.prior_attempts)

    def __repr__(self) -> str:
        return f"<job {self.id} {self.task} attempt {self.attempt} of {self.max_attempts} queue {self.queue}>"


class ControlledJob(CurrentJob):
    """A job that had to wait for its turn. `turn`: its lane, and its breaker, if it has one."""

    __slots__ = ("turn",)

    def __init__(self, *values: Any, turn: tuple[str, str | None]) -> None:
        super().__init__(*values)
        self.turn = turn

    @property
    def breaker(self) -> str | None:
        """The name of its circuit breaker, if it has one."""
        return self.turn[1]


current: ContextVar[CurrentJob | None] = ContextVar("pgjobs_current_job", default=None)


def current_job() -> CurrentJob:
    """Give the job that is running here: `id`, `task`, `queue`, `attempt`, `max_attempts`, `priority`, `run_at`.

    Raises:
        LookupError: no job is running here.

    """
    job = current.get()
    if job is None:
        raise LookupError("current_job() was called outside a job: it has a meaning only inside a running callable.")
    return job
