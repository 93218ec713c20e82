"""The job that runs here: what `current_job()` returns inside a job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import iscoroutinefunction
from threading import Lock
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from pgjobs.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pgjobs.core.callers import AsyncCaller, SyncCaller
    from pgjobs.flow.workflow_state import StepEnd
    from pgjobs.workflows.running import EnteredStep, RunningWorkflow


P = ParamSpec("P")
R = TypeVar("R")


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
    function: Callable[..., object] | None
    completing: bool
    releases: bool
    meta: dict[str, Any] | None

    @property
    def together(self) -> Sequence[RunningJob]:
        """The jobs that run in this call."""
        ...


class Reporter(Protocol):
    """Keeps what running jobs report of themselves. A worker process has one."""

    def report(self, job: RunningJob, done: object, total: object, message: object, state: object) -> None:
        """Remember how far a job has come."""

    def report_wait(self, job: RunningJob, ids: Collection[int]) -> None:
        """Remember for which jobs a job waits; none: it waits no longer."""

    def read_state(self, job: RunningJob) -> Any:
        """Return what the attempts of a job have left."""

    def read_step(self, job: RunningJob, key: str) -> tuple[Any] | None:
        """Return the value of a step in a tuple; None: it has not been done."""

    def write_step(self, job: RunningJob, key: str, value: object) -> None:
        """Remember the value of a step."""

    def once_in(
        self, job: RunningJob, conn: Any, key: str, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Do a step and remember its value in the transaction of `conn`."""


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

    @property
    def members(self) -> tuple[CurrentJob, ...]:
        """The jobs of the batch that runs here, in the order of its items; of any other job, itself alone.

        In a batch all else but `progress` is that of the first of them.
        """
        return tuple(map(CurrentJob, self._job.together))

    @property
    def state(self) -> Any:
        """What `progress(state=…)` has left, in this attempt or an earlier one; None: nothing. It may run a query."""
        self._refuse_in_batch("state")
        return _reporter().read_state(self._job)

    @property
    def workflow(self) -> RunningWorkflow:
        """The workflow that this job is a step of: `add` and `map` make it grow when this job is acknowledged.

        Raises:
            LookupError: it is not a step.

        """
        step = current_step.get()
        if step is None:
            raise LookupError(f"job {self.id} is not a step of a workflow.")
        return step.workflow

    @property
    def needs(self) -> list[StepEnd]:
        """How the steps have ended that this one waited for; for what `on_failure` calls: those that failed."""
        step = current_step.get()
        return [] if step is None else step.workflow.read_needs(self.id)

    def progress(
        self,
        done: float | None = None,
        total: float | None = None,
        message: str | None = None,
        *,
        state: Any = None,
    ) -> None:
        """Report how far the job has come: `done` of `total`, with a message. What is None stays as it was.

        It is cheap, so a loop may call it: one statement a second writes the newest for all jobs of this process.
        `state`: a small JSON value (64 kB) that the next attempt finds in `current_job().state`, to continue there.

        Raises:
            UsageError: a value cannot be used.

        """
        if state is not None:
            self._refuse_in_batch("progress(state=…)")
        for job in self._job.together:
            _reporter().report(job, done, total, message, state)

    @overload
    def once(
        self, key: str, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...

    @overload
    def once(self, key: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def once(self, key: str, function: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call a function in the first attempt that comes here, and return in all others what it returned.

        `key`: names the step within this job. The value is stored as soon as the function has returned, pickled or as
        JSON; what it raises is not. A kill in between lets the next attempt call it again, so pass other systems a key
        that is the same in each attempt, such as the job's id. Await it if the function is async.

        Raises:
            UsageError: the key cannot be used.
            ResultError: the value cannot be stored.

        """
        self._refuse_in_batch("once()")
        reporter, job = _reporter(), self._job
        if iscoroutinefunction(function):
            return _once_async(reporter, job, key, function, args, kwargs)
        found = reporter.read_step(job, key)
        if found is None:
            value = function(*args, **kwargs)
            reporter.write_step(job, key, value)
            return value
        return found[0]

    @overload
    def once_in(
        self,
        conn: AsyncCaller,
        key: str,
        function: Callable[P, Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]: ...

    @overload
    def once_in(
        self, conn: AsyncCaller, key: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...

    @overload
    def once_in(
        self, conn: SyncCaller, key: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R: ...

    def once_in(self, conn: Any, key: str, function: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Do what `once` does, in the transaction of `conn`: exactly once, for what the function writes there.

        Its COMMIT commits what the function has written and that the step is done, or neither. The connection goes
        first and is not passed on: give it to the function as an argument of its own, by whatever name it has there.
        On an async connection, await it.

        Raises:
            UsageError: the key or the connection cannot be used.
            ResultError: the value cannot be stored.
            StaleClaimError: the job belongs to another attempt by now, or that has done the step. The transaction
                cannot be committed.

        """
        self._refuse_in_batch("once_in()")
        return _reporter().once_in(self._job, conn, key, function, args, kwargs)

    def _refuse_in_batch(self, what: str) -> None:
        if len(self._job.together) > 1:
            raise UsageError(
                f"{what} belongs to one job, and the next attempt may be in another batch: use current_job().members."
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CurrentJob) and self._job is other._job

    def __hash__(self) -> int:
        return hash(self._job.id)

    def __repr__(self) -> str:
        return f"<job {self.id} {self.task} attempt {self.attempt} of {self.max_attempts} queue {self.queue}>"


async def _once_async(
    reporter: Reporter, job: RunningJob, key: str, function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    from asyncio import to_thread  # imported lazily: `pgjobs --help` does without

    found = await to_thread(reporter.read_step, job, key)
    if found is None:
        value = await function(*args, **kwargs)
        await to_thread(reporter.write_step, job, key, value)
        return value
    return found[0]


class _Reporting:
    """The reporter of this process: made when a job first needs it, once, though several may need it at that moment."""

    def __init__(self) -> None:
        self.make: Callable[[], Reporter] | None = None
        self.made: Reporter | None = None
        self.lock = Lock()


_reporting = _Reporting()


def _reporter() -> Reporter:
    made = _reporting.made
    if made is not None:
        return made
    with _reporting.lock:
        if _reporting.made is None:
            if _reporting.make is None:
                raise LookupError("progress and state need a worker, and this process is not one.")
            _reporting.made = _reporting.make()
        return _reporting.made


def report_wait(job: RunningJob, ids: Collection[int]) -> None:
    """Report for which jobs a running job waits; none: it waits no longer. Outside of a worker nothing happens."""
    if _reporting.make is not None:
        _reporter().report_wait(job, ids)


def report_to(make: Callable[[], Reporter]) -> None:
    """Set what makes the reporter of this process, when a job first needs it."""
    _reporting.make, _reporting.made = make, None


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Have another reporter in this process for a while, as tests do that run jobs."""
    before = _reporting.make, _reporting.made
    _reporting.make, _reporting.made = lambda: reporter, reporter
    try:
        yield
    finally:
        _reporting.make, _reporting.made = before


current_step: ContextVar[EnteredStep | None] = ContextVar("pgjobs_current_step", default=None)
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
