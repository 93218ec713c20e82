"""What a test does with jobs, on any kind of connection: the synchronous half of `Jobs` and `AsyncJobs`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pgjobs.core.durations import check_duration
from pgjobs.core.errors import UsageError
from pgjobs.db.limits import LimitWriter
from pgjobs.db.query import check_id
from pgjobs.testing.engine import Engine
from pgjobs.testing.faults import Faults
from pgjobs.testing.firing import declare, fire
from pgjobs.testing.outcomes import Drained, Ran, TestJob
from pgjobs.testing.rows import FoundJob, Wish, check_arguments, fitting, missed, split_asked, unwanted

if TYPE_CHECKING:
    from pgjobs.testing.link import Link
    from pgjobs.testing.places import Place

MOST_RUNS = 1_000
OPEN_STATES = ("queued", "waiting", "running")


class Kit:
    """Looks at jobs, and runs them, in the transaction of a test."""

    def __init__(self, link: Link, place: Place) -> None:
        self._link = link
        self._place = place
        self.faults = Faults()
        self._limits = LimitWriter()  # a worker writes those that its imports declare
        self.ahead = 0.0
        """Seconds by which the clock was moved forward."""

    # -- Looks ---------------------------------------------------------------------------------------------------------

    def rows(self, *, ids: Sequence[int] | None = None, queue: str | None = None) -> list[FoundJob]:
        """Return rows of jobs, by their ids."""
        found = self._link.rows("jobs_of_test", ids=None if ids is None else list(ids), queue=queue)
        return [FoundJob(**row) for row in found]

    def all(
        self, callable: Callable[..., Any] | None = None, *, queue: str | None = None, status: str | None = None
    ) -> list[TestJob]:
        """Return the jobs that there are, in the order in which they were enqueued."""
        jobs = [row.shown() for row in self.rows(queue=queue) if status in (None, row.status)]
        return jobs if callable is None else fitting(Wish(callable, None, {}), jobs)

    def assert_enqueued(
        self, callable: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> TestJob:
        """Return the first job that fits."""
        wish = self._wish(callable, args, kwargs)
        jobs = [row.shown() for row in self.rows()]
        found = fitting(wish, jobs)
        if not found:
            raise AssertionError(missed(wish, jobs))
        return found[0]

    def refute_enqueued(self, callable: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Refuse jobs that fit. Without arguments: all of this function."""
        wish = self._wish(callable, args, kwargs)
        found = fitting(wish, [row.shown() for row in self.rows()])
        if found:
            raise AssertionError(unwanted(wish, found))

    @staticmethod
    def _wish(callable: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Wish:
        asked, own = split_asked(callable, kwargs)
        if asked.get("within") is not None:
            asked["within"] = check_duration("within", asked["within"], least=0.0)
        given: tuple[Any, ...] | None = args
        if not args and not own:
            given = None
        else:
            check_arguments(callable, args, own)
        return Wish(callable, given, own, **asked)

    @contextmanager
    def expect(self, callable: Callable[..., Any], times: int, queue: str | None) -> Iterator[list[TestJob]]:
        """Count the jobs that a block enqueues."""
        before = {row.id for row in self.rows()}
        found: list[TestJob] = []
        yield found
        wish = Wish(callable, None, {}, queue)
        new = [row.shown() for row in self.rows() if row.id not in before]
        found += fitting(wish, new)
        if len(found) != times:
            others = "".join(f"\n  {job}" for job in new) or " nothing"
            raise AssertionError(
                f"{times} jobs {wish.describe()} were to be enqueued here, and there are {len(found)}. "
                f"What was enqueued:{others}"
            )

    def leftovers(self) -> list[str]:
        """Return what a test has left: jobs that have not ended, and failures that were asked for in vain."""
        jobs = [str(row.shown()) for row in self.rows() if row.status in OPEN_STATES]
        return jobs + self.faults.left()

    # -- Runs ----------------------------------------------------------------------------------------------------------

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        engine = Engine(self._link, self._place, self.faults)
        if self._limits.has_news():
            connection: Any = self._link.connection
            self._limits.write(connection)
        try:
            yield engine
        except BaseException:
            with suppress(Exception):  # the transaction may have ended, or failed
                engine.close()
            raise
        engine.close()

    def run(self, handle: Any) -> Ran[Any]:
        """Run one attempt of a job."""
        job_id = check_id(handle)
        found = self.rows(ids=[job_id])
        if not found:
            raise UsageError(f"there is no job {job_id} here: it was enqueued in another database, or rolled back.")
        found[0].check_runnable()
        with self._engine() as engine:
            if found[0].seconds > 0:
                self._link.rows("make_due", ids=[job_id])
                found = self.rows(ids=[job_id])
            ran = engine.run(engine.claim_this(found[0])) or engine.settle()
        for each in ran:
            if each.id == job_id:
                return each
        raise UsageError(
            f"job {job_id} ({found[0].task}) cannot run now: its queue or all are paused, or it waits for its turn (a "
            "limit, a rate, a sequence, a breaker). `pgjobs.why(conn, job)` says which; clock.forward() passes time."
        )

    def drain(self, queues: Sequence[str], *, retries: bool, later: bool, most: int) -> Drained:
        """Run what is due, and what comes of it, until nothing is left."""
        ran: list[Ran[Any]] = []
        seen: dict[int, int] = {}
        wanted = list(queues) or None
        with self._engine() as engine:
            while True:
                some = self._round(engine, wanted)
                ran += some
                if len(ran) > most:
                    last = "; ".join(map(str, ran[-3:]))
                    raise UsageError(f"{most:,} attempts were run, and more is due: give most=…, or see why: {last}")
                if some or fire(self._link, self.ahead):
                    continue
                if not (retries and self._retry(ran, seen)) and not (later and self._wait(wanted)):
                    return Drained(ran)

    def _round(self, engine: Engine, wanted: list[str] | None) -> list[Ran[Any]]:
        """Run one job of each queue."""
        ran: list[Ran[Any]] = []
        for row in self._link.rows("open_queues"):
            if wanted is None or row["queue"] in wanted:
                ran += engine.run(engine.claim(row["queue"]))
                ran += engine.settle()
        return ran

    def _retry(self, ran: list[Ran[Any]], seen: dict[int, int]) -> bool:
        """Make due what has failed and has attempts left; False: all of it was, as `seen` says."""
        last = {each.id: each.attempt for each in ran if each.outcome == "retried"}
        last = {job: attempt for job, attempt in last.items() if seen.get(job) != attempt}
        if last:
            seen.update(last)
            self._link.rows("make_due", ids=list(last))
        return bool(last)

    def _wait(self, wanted: list[str] | None) -> bool:
        """Move the clock to where the next job is due; False: nothing is to run later."""
        seconds = self._link.rows("next_job_later", queues=wanted)[0]
        (seconds,) = seconds.values()
        if seconds is None:
            return False
        self.forward(max(seconds, 0.0))
        return True

    # -- The clock -----------------------------------------------------------------------------------------------------

    def forward(self, seconds: float) -> None:
        """Move the clock forward."""
        self._link.run_as_is("shift_clock", seconds=seconds)
        self.ahead += seconds

    def declare(self) -> None:
        """Write what the code declares."""
        declare(self._link)
