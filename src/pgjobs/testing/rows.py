"""The rows of jobs as a test sees them, and which of them fit what it asks for: decisions without SQL."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgjobs.core.config import settings
from pgjobs.core.errors import PayloadError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.jobs.job import task_name
from pgjobs.payload.encoder import encoder_for
from pgjobs.payload.pickling import load
from pgjobs.testing.outcomes import TestJob

MOST_SHOWN = 8
ASKED = ("queue", "within", "meta")
"""What can be asked of a job beside its arguments."""


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job's row, as jobs_of_test.sql returns it."""

    id: int
    task: str
    queue: str
    status: str
    priority: int
    run_at: datetime
    attempt: int
    max_attempts: int
    prior_attempts: int | None
    claims: int
    timeout: float | None
    meta: Mapping[str, Any] | None
    summary: str | None
    payload: bytes
    error: str | None
    held: str | None
    takes_turns: bool
    seconds: float

    def shown(self) -> TestJob:
        """Return it as a test sees it, with the call from its payload."""
        args: tuple[Any, ...] | None = None
        kwargs: Mapping[str, Any] | None = None
        try:
            current = settings()
            call = load(bytes(self.payload), self.task, current.allow, pickles=current.payload != "json")
            args, kwargs = tuple(call.args), dict(call.kwargs)
        except PayloadError:
            pass
        return TestJob(
            self.id,
            self.task,
            self.queue,
            self.status,
            self.priority,
            self.run_at,
            self.seconds,
            self.attempt,
            self.max_attempts,
            self.meta or {},
            self.summary,
            self.error,
            args,
            kwargs,
        )

    def check_runnable(self) -> None:
        """Refuse to run a job that cannot run.

        Raises:
            UsageError: it has ended, or runs, or waits for others.

        """
        if self.status in ("completed", "failed", "cancelled", "running"):
            raise UsageError(f"job {self.id} ({self.task}) is {self.status}: there is nothing to run.")
        if self.held in ("needs", "workflow"):
            raise UsageError(
                f"job {self.id} ({self.task}) waits for other jobs: run those first, or all of them with drain()."
            )


@dataclass(frozen=True)
class Wish:
    """What a test asks for. `args`: None: any arguments. `within`: seconds until it is due, at most."""

    callable: Callable[..., Any]
    args: tuple[Any, ...] | None
    kwargs: Mapping[str, Any]
    queue: str | None = None
    within: float | None = None
    meta: Mapping[str, Any] | None = None

    @property
    def task(self) -> str:
        """The task of such jobs."""
        return task_name(self.callable)

    def misfits(self, job: TestJob) -> list[str]:
        """Return in what a job of this task differs from the wish; nothing: it fits."""
        found: list[str] = []
        if self.args is not None and not self._is_same_call(job):
            found.append(f"arguments {_call(job.args, job.kwargs)}, not {_call(self.args, self.kwargs)}")
        if self.queue is not None and job.queue != self.queue:
            found.append(f"queue {job.queue!r}, not {self.queue!r}")
        if self.within is not None and job.due_in > self.within:
            found.append(f"due in {job.due_in:,.0f} s, not within {self.within:,g} s")
        if self.meta is not None and not self.meta.items() <= dict(job.meta).items():
            found.append(f"meta {dict(job.meta)!r}, not {dict(self.meta)!r}")
        return found

    def _is_same_call(self, job: TestJob) -> bool:
        if self.args is None or job.args is None or job.kwargs is None:
            return False
        if job.args == self.args and dict(job.kwargs) == dict(self.kwargs):
            return True
        return bool(_bound(self.callable, self.args, self.kwargs) == _bound(self.callable, job.args, job.kwargs))

    def describe(self) -> str:
        """Return what is wished for, as text."""
        call = "" if self.args is None else _call(self.args, self.kwargs)
        asked = [
            "" if self.queue is None else f"queue={self.queue!r}",
            "" if self.within is None else f"within={self.within:,g} s",
            "" if self.meta is None else f"meta={dict(self.meta)!r}",
        ]
        options = ", ".join(filter(None, asked))
        return f"{self.task.rpartition(':')[2]}{call}{f' with {options}' if options else ''}"


def fitting(wish: Wish, jobs: Sequence[TestJob]) -> list[TestJob]:
    """Return the jobs that fit."""
    return [job for job in jobs if job.task == wish.task and not wish.misfits(job)]


def missed(wish: Wish, jobs: Sequence[TestJob]) -> str:
    """Return that no job fits, and which ones come nearest."""
    first = f"no job {wish.describe()} was enqueued"
    same = sorted(((wish.misfits(job), job) for job in jobs if job.task == wish.task), key=lambda each: len(each[0]))
    if same:
        return "\n".join([f"{first}. The nearest:", *(f"  {job}: {'; '.join(why)}" for why, job in same[:MOST_SHOWN])])
    if not jobs:
        return f"{first}: there is no job at all."
    names = sorted({job.task for job in jobs})
    near = difflib.get_close_matches(wish.task, names, n=MOST_SHOWN, cutoff=0.3)
    others = [*near, *(name for name in names if name not in near)]
    return f"{first}. There are jobs of {', '.join(others[:MOST_SHOWN])}."


def unwanted(wish: Wish, found: Sequence[TestJob]) -> str:
    """Return that there are jobs which a test wants not to be there."""
    first = f"no job {wish.describe()} was to be enqueued, and there are {len(found)}:"
    return "\n".join([first, *(f"  {job}" for job in found[:MOST_SHOWN])])


def split_asked(callable: Callable[..., Any], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is asked of the job, and the arguments of its function.

    A name that the function itself has as a parameter is an argument of it.
    """
    parameters = _signature(callable)
    own = set() if parameters is None else set(parameters.parameters)
    asked = {name: value for name, value in kwargs.items() if name in ASKED and name not in own}
    return asked, {name: value for name, value in kwargs.items() if name not in asked}


def check_arguments(callable: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments that no job of this function could have.

    Raises:
        UsageError: they do not fit.

    """
    try:
        encoder_for(callable).encode(args, kwargs)
    except UsageError as error:
        raise UsageError(f"no job can be enqueued so: {error}") from error


def _signature(callable: Callable[..., Any]) -> inspect.Signature | None:
    """Return what a job is enqueued with; None: that is not known, of something in C."""
    enqueued = getattr(callable, "enqueued_parameters", None)
    if enqueued is not None:
        found: inspect.Signature | None = enqueued.signature
        return found
    try:
        return inspect.signature(callable)
    except (TypeError, ValueError):
        return None


def _bound(callable: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the arguments by their names, with defaults, so that it does not matter how they were given."""
    signature = _signature(callable)
    if signature is None:
        return args, dict(kwargs)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # of an older function, perhaps
        return args, dict(kwargs)
    bound.apply_defaults()
    return bound.arguments


def _call(args: tuple[Any, ...] | None, kwargs: Mapping[str, Any] | None) -> str:
    if args is None or kwargs is None:
        return "(a payload that cannot be loaded here)"
    shown = [*map(shorten_repr, args), *(f"{name}={shorten_repr(value)}" for name, value in kwargs.items())]
    return f"({', '.join(shown)})"
