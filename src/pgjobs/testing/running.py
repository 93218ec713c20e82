"""`running`: what `current_job()` returns where a test calls the function of a job itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pgjobs.effects.progress import ReportValues
from pgjobs.effects.steps import check_key, restored, stored
from pgjobs.jobs.context import CurrentJob, RunningJob, current, reporting_to
from pgjobs.jobs.job import options_of, task_name


@dataclass(eq=False)
class _Running:
    """A job that runs nowhere but in the test."""

    function: Callable[..., object] | None
    task: str
    id: int
    queue: str
    attempt: int
    max_attempts: int
    priority: int
    timeout: float | None
    meta: dict[str, Any] | None
    claim_number: int = 1
    prior_attempts: int | None = None
    run_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cancelled: bool = False
    completing: bool = False
    releases: bool = False

    @property
    def together(self) -> list[RunningJob]:
        """The jobs of its batch."""
        return [self]


class _InMemory:
    """Keeps what the job reports, for as long as the block lasts."""

    def __init__(self) -> None:
        self._state: Any = None
        self._steps: dict[str, tuple[bytes, bytes | None]] = {}

    def report(self, job: RunningJob, done: object, total: object, message: object, state: object) -> None:
        """Check what is reported, as a worker does."""
        ReportValues.of(job.claim_number, done, total, message, state)
        self._state = self._state if state is None else state

    def report_wait(self, job: RunningJob, ids: Collection[int]) -> None:
        """Do nothing."""

    def read_state(self, job: RunningJob) -> Any:
        """Return what was reported last."""
        return self._state

    def read_step(self, job: RunningJob, key: str) -> tuple[Any] | None:
        """Return what a step has returned, after its way through bytes."""
        found = self._steps.get(check_key(key))
        return None if found is None else (restored(job.id, key, *found),)

    def write_step(self, job: RunningJob, key: str, value: object) -> None:
        """Remember what a step has returned."""
        self._steps[key] = stored(job.id, job.task, key, value)

    def once_in(
        self, job: RunningJob, conn: Any, key: str, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Do a step, and write it in the transaction of `conn`."""
        from pgjobs.effects.steps_within import once_in  # imported lazily: few jobs need it

        return once_in(job, conn, key, function, args, kwargs)


@contextmanager
def running(
    callable: Callable[..., object],
    *,
    attempt: int = 1,
    id: int = 1,
    meta: dict[str, Any] | None = None,
    cancelled: bool = False,
) -> Iterator[CurrentJob]:
    """Make a block in which a test calls the function of a job: there `current_job()` is a job of it, with its options.

    `current_job().progress(…)` and `once(…)` work, and are forgotten at the end of the block. `complete(conn)` has no
    row to end, and raises: run such a job by `Jobs.run`.
    """
    options = options_of(callable)
    job = _Running(
        callable,
        task_name(callable),
        id,
        options.queue,
        attempt,
        options.max_attempts,
        options.priority,
        options.timeout,
        meta if meta is not None else dict(options.meta or {}),
        cancelled=cancelled,
    )
    token = current.set(job)
    try:
        with reporting_to(_InMemory()):
            yield CurrentJob(job)
    finally:
        current.reset(token)
