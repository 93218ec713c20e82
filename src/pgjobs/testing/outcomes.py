"""What came of jobs that a test has run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class TestJob:
    """A job as its row says, with the call that its payload holds. `status`: as in `pgjobs.jobs`."""

    __test__ = False  # pytest looks for classes of this name

    id: int
    task: str
    queue: str
    status: str
    priority: int
    run_at: datetime
    due_in: float
    """Seconds until it is due; below 0: it is."""
    attempt: int
    max_attempts: int
    meta: Mapping[str, Any]
    summary: str | None
    error: str | None
    args: tuple[Any, ...] | None = field(repr=False)
    """None: the payload cannot be loaded here."""
    kwargs: Mapping[str, Any] | None = field(repr=False)

    def __str__(self) -> str:
        return f"job {self.id} {self.summary or self.task} in {self.queue}, {self.status}"


@dataclass(frozen=True, slots=True)
class Ran(Generic[R]):
    """One attempt that a test has run.

    `outcome`: completed, retried, failed, snoozed, cancelled, released or parked.
    """

    id: int
    task: str
    outcome: str
    attempt: int
    """Which one it was, from 1."""
    result: R | None = None
    """What the job keeps of what it returned (`@job(result=True)`), after its way through bytes."""
    error: str | None = None
    """The error, or the reason, in one line."""
    exception: BaseException | None = field(default=None, repr=False, compare=False)
    """What the job raised."""
    due_in: float | None = None
    """Seconds until it runs again, if it does."""

    def check(self) -> Ran[R]:
        """Return this if the job has completed.

        Raises:
            AssertionError: it has not; its cause is what the job raised.

        """
        if self.outcome == "completed":
            return self
        raise AssertionError(f"{self} has not completed") from self.exception

    def __str__(self) -> str:
        why = f": {self.error}" if self.error else ""
        return f"job {self.id} ({self.task}) {self.outcome} in attempt {self.attempt}{why}"


class Drained(Mapping[int, Ran[Any]]):
    """What came of the jobs that were run, by their ids: of each its last attempt. `attempts`: all, in their order."""

    def __init__(self, attempts: list[Ran[Any]]) -> None:
        self.attempts = attempts
        self._last = {ran.id: ran for ran in attempts}

    def __getitem__(self, job: Any) -> Ran[Any]:
        return self._last[getattr(job, "id", job)]

    def __iter__(self) -> Iterator[int]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def __contains__(self, job: object) -> bool:
        return getattr(job, "id", job) in self._last

    def check(self) -> Drained:
        """Return this if all jobs have completed in the end.

        Raises:
            AssertionError: one has not; its cause is what that job raised.

        """
        for ran in self._last.values():
            ran.check()
        return self

    def __repr__(self) -> str:
        return f"<drained: {'; '.join(map(str, self._last.values())) or 'nothing was due'}>"
