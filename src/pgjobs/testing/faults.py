"""Failures that a test asks for: an error instead of the next run of a job, and a worker that dies at a point of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pgjobs.core.errors import UsageError
from pgjobs.jobs.job import task_name

POINTS = ("before_effects", "after_effects")


@dataclass
class Faults:
    """What is to go wrong, by task."""

    errors: dict[str, list[BaseException]] = field(default_factory=dict)
    crashes: list[tuple[str, str | None]] = field(default_factory=list)

    def fail(self, callable: Callable[..., Any], error: BaseException | type[BaseException], times: int) -> None:
        """Have the next runs raise this.

        Raises:
            UsageError: it is not an exception.

        """
        made = error() if isinstance(error, type) and issubclass(error, BaseException) else error
        if not isinstance(made, BaseException):
            raise UsageError(f"fail_next: {error!r} is not an exception: give one, such as TimeoutError('smtp').")
        self.errors.setdefault(task_name(callable), []).extend([made] * times)

    def crash(self, point: str, callable: Callable[..., Any] | None) -> None:
        """Have the worker die at a point of the next run.

        Raises:
            UsageError: there is no such point.

        """
        if point not in POINTS:
            raise UsageError(f"crash_at({point!r}): give {' or '.join(map(repr, POINTS))}.")
        self.crashes.append((point, None if callable is None else task_name(callable)))

    def take_error(self, task: str) -> BaseException | None:
        """Return what the next run of a task raises; None: what it raises itself."""
        waiting = self.errors.get(task)
        return waiting.pop(0) if waiting else None

    def take_crash(self, task: str) -> str | None:
        """Return where the worker dies that runs this task now; None: it lives."""
        for at, (point, wanted) in enumerate(self.crashes):
            if wanted in (None, task):
                del self.crashes[at]
                return point
        return None

    def left(self) -> list[str]:
        """Describe what was asked for, and has not happened."""
        return [
            *(f"fail_next of {task}" for task, errors in self.errors.items() if errors),
            *(f"crash_at({point!r})" for point, _ in self.crashes),
        ]
