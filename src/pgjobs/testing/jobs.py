"""`Jobs`: a test's jobs, on its own synchronous connection and in its own transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from pgjobs.core.durations import check_duration
from pgjobs.testing.drivers import driver_of
from pgjobs.testing.kit import MOST_RUNS, Kit
from pgjobs.testing.link import Link
from pgjobs.testing.places import Here

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import TypeAlias

    from pgjobs.core.callers import SyncCaller
    from pgjobs.jobs.batch_job import BatchJob
    from pgjobs.jobs.handle import JobHandle
    from pgjobs.jobs.transaction import TransactionJob
    from pgjobs.testing.outcomes import Drained, Ran, TestJob

    Moment: TypeAlias = float | timedelta | str

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Jobs:
    """Looks at jobs and runs them, on the connection of a test and in its open transaction. It commits nothing.

    `conn`: what `enqueue` takes: a SQLAlchemy Session or Connection, a psycopg Connection, or Django's connection. For
    the async kinds: `AsyncJobs`. Jobs run here, in this thread, one after another: what workers do is done by the same
    statements. What a job writes on this connection is undone if its attempt does not complete. A job with a connection
    of its own does not see what the test has not committed.

    Raises:
        EnqueueError: jobs cannot be enqueued on it.
        UsageError: it is async, or commits each statement by itself.

    """

    def __init__(self, conn: SyncCaller) -> None:
        driver = driver_of(conn)
        self._kit = Kit(Link(driver), Here(driver))
        self.clock = Clock(self._kit)
        """The database's clock, as pgjobs sees it in this test."""

    # -- What was enqueued ---------------------------------------------------------------------------------------------

    # What is asked beside the arguments cannot be typed together with them, so it comes first, with any arguments.
    @overload
    def assert_enqueued(
        self,
        callable: Callable[..., object],
        /,
        *args: Any,
        queue: str,
        within: Moment = ...,
        meta: dict[str, Any] = ...,
        **kwargs: Any,
    ) -> TestJob: ...
    @overload
    def assert_enqueued(
        self, callable: Callable[..., object], /, *args: Any, within: Moment, meta: dict[str, Any] = ..., **kwargs: Any
    ) -> TestJob: ...
    @overload
    def assert_enqueued(
        self, callable: Callable[..., object], /, *args: Any, meta: dict[str, Any], **kwargs: Any
    ) -> TestJob: ...
    @overload
    def assert_enqueued(self, callable: Callable[..., object], /) -> TestJob: ...
    @overload
    def assert_enqueued(
        self, callable: TransactionJob[Any, P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> TestJob: ...
    @overload
    def assert_enqueued(self, callable: BatchJob[T, object, object], item: T, /) -> TestJob: ...
    @overload
    def assert_enqueued(self, callable: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> TestJob: ...
    def assert_enqueued(self, callable: Callable[..., object], /, *args: Any, **kwargs: Any) -> TestJob:
        """Return the first job of this function with these arguments, whatever its state.

        Without any arguments, those do not matter. Defaults count as given, and it does not matter whether arguments
        were given by name.

        Args:
            callable: the job, as for `enqueue`.
            args: its arguments.
            kwargs: its keyword arguments; and, unless the function has a parameter of that name, what is asked of the
                job: `queue`, `within` (it is due within that time: seconds, a timedelta or "2h"), `meta` (these
                entries, and perhaps others).

        Raises:
            AssertionError: no job fits; the message has those that come nearest.
            UsageError: no job can have these arguments.

        """
        return self._kit.assert_enqueued(callable, args, kwargs)

    def refute_enqueued(self, callable: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        """Check that there is no such job. Takes what `assert_enqueued` takes.

        Raises:
            AssertionError: there are some.

        """
        self._kit.refute_enqueued(callable, args, kwargs)

    @contextmanager
    def expect(
        self, callable: Callable[..., object], *, times: int = 1, queue: str | None = None
    ) -> Iterator[list[TestJob]]:
        """Check that a block enqueues `times` jobs of this function. It yields a list, which has them at the end.

        Raises:
            AssertionError: it has enqueued more or fewer.

        """
        with self._kit.expect(callable, times, queue) as found:
            yield found

    def all(
        self, callable: Callable[..., object] | None = None, *, queue: str | None = None, status: str | None = None
    ) -> list[TestJob]:
        """Return the jobs that there are, in the order in which they were enqueued."""
        return self._kit.all(callable, queue=queue, status=status)

    def leftovers(self) -> list[str]:
        """Return what is left: jobs that have not ended, and `fail_next` and `crash_at` that nothing has met."""
        return self._kit.leftovers()

    # -- Runs ----------------------------------------------------------------------------------------------------------

    def run(self, handle: JobHandle[R] | int) -> Ran[R]:
        """Run one attempt of a job now, and return what came of it.

        Its payload is loaded from its row, and its outcome is written there, as a worker does it. If it was to run
        later, it is due now; a limit of its queue does not count.

        Raises:
            UsageError: it has ended, waits for other jobs, or may not run now.

        """
        return self._kit.run(handle)

    def drain(self, *queues: str, retries: bool = True, later: bool = False, most: int = MOST_RUNS) -> Drained:
        """Run all that is due, in these queues or in all, and what those jobs enqueue; return what came of each.

        Schedules that are due fire. Workflows, sequences and limits are kept as by a worker with one slot for a queue.

        Args:
            queues: none: all.
            retries: a job that failed and has attempts left is due again at once.
            later: what is to run later does so: the clock is moved forward from one job to the next.
            most: attempts that are run before it is an error that more is due.

        Raises:
            UsageError: more than `most` attempts were run.

        """
        return self._kit.drain(queues, retries=retries, later=later, most=most)

    def fail_next(
        self, callable: Callable[..., object], error: BaseException | type[BaseException], *, times: int = 1
    ) -> None:
        """Have the next attempts of this function raise an error, instead of calling it."""
        self._kit.faults.fail(callable, error, times)

    def crash_at(self, point: str, callable: Callable[..., object] | None = None) -> None:
        """Have the worker die at a point of the next attempt (of this function, or of any).

        `point`: "before_effects", before the function is called; "after_effects", when it has returned and all that it
        has done is kept, but not its outcome. The job is then what it is after a worker died: retried, or failed; or
        completed, if it has completed itself (`complete()`, `transaction=True`).

        Raises:
            UsageError: there is no such point.

        """
        self._kit.faults.crash(point, callable)

    def declare(self) -> None:
        """Write the schedules, subscriptions, topics and pipelines of the imported modules, as workers do at start."""
        self._kit.declare()


class Clock:
    """The clock of a test, as pgjobs sees it. It only goes forward."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def forward(self, duration: Moment) -> None:
        """Move it forward, by seconds, a timedelta, or a text such as "2h" or "3d".

        What is to happen later comes nearer: jobs that are to run or to expire, rates, breakers, unique keys, sleeps,
        and schedules. Nothing runs before `drain` or `run` is called. Python's clock stays, and `now()` in other SQL.

        Raises:
            UsageError: it cannot be read as a duration.

        """
        self._kit.forward(check_duration("forward", duration, least=0.0))

    @property
    def ahead(self) -> float:
        """Seconds by which it was moved forward."""
        return self._kit.ahead
