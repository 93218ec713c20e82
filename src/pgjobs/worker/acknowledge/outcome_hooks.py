"""Calls the `on_outcome` hooks: in a thread of its own, with what the acknowledger has written, batch by batch.

The acknowledger never waits for a hook. If hooks are slower than jobs end, what is behind is kept up to a bound; beyond
it outcomes are left out, and the log says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import TypeAlias, assert_never

from pgjobs.hooks.kinds import outcome_hooks
from pgjobs.hooks.values import JobOutcome
from pgjobs.jobs.outcome import (
    COMPLETED,
    Cancelled,
    Completed,
    Divided,
    Failed,
    Outcome,
    Parked,
    Released,
    Retried,
    Several,
    Snoozed,
)
from pgjobs.worker.acknowledge.outcome_log import labels
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.local_queue import Ended

log = logging.getLogger("pgjobs.hooks")
MAX_BEHIND = 100_000  # outcomes
SAY_EVERY = 10.0  # seconds
ENDS_WITHIN = 5.0  # seconds

_Told: TypeAlias = "tuple[ClaimedJob, Outcome, float | None, BaseException | None]"


class OutcomeHooks:
    """Passes outcomes on to the hooks. `tell` and `stop` are for one thread; without hooks, do not call `tell`."""

    def __init__(self) -> None:
        self._batches: SimpleQueue[tuple[datetime, list[_Told]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._put = 0  # outcomes: written by the thread that tells them
        self._done = 0  # outcomes: written by the thread that calls the hooks
        self._said = 0.0  # monotonic seconds
        self._running = ""  # the hook that runs now

    def completed(self, batch: Iterable[Ended], held: list[Ended], lost: set[int]) -> None:
        """Pass on which jobs have completed. `held`, `lost`: those, and ids, whose outcomes were not written."""
        excluded = {job.key() for job, _, _ in held}
        self.tell(
            [
                (job, COMPLETED, seconds, None)
                for job, _, seconds in batch
                if job.id not in lost and job.key() not in excluded
            ]
        )

    def tell(self, outcomes: list[_Told]) -> None:
        """Have the hooks called, soon, with outcomes that were written."""
        if not outcomes:
            return
        if self._put - self._done + len(outcomes) > MAX_BEHIND:
            self._complain(len(outcomes))
            return
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name="pgjobs-outcomes", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the limit of threads is reached
                self._complain(len(outcomes))
                return
            self._thread = thread
        self._put += len(outcomes)
        self._batches.put((datetime.now(UTC), outcomes))

    def stop(self) -> None:
        """Have what was told so far passed on, and wait for that, within a bound."""
        if self._thread is None:
            return
        self._batches.put(None)
        self._thread.join(ENDS_WITHIN)
        if self._thread.is_alive():
            left = self._put - self._done
            log.error("the hook %s does not end: %d outcomes are not passed on to hooks", self._running, left)

    def _complain(self, number: int) -> None:
        if time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            log.error("hooks are behind (%s runs): %d outcomes are not passed on to them", self._running, number)

    def _serve(self) -> None:
        while (told := self._batches.get()) is not None:
            now, batch = told
            for job, outcome, seconds, exception in batch:
                shown = shown_outcome(job, outcome, seconds, exception, now)
                if shown is not None:
                    self._call(job, shown)
                self._done += 1

    def _call(self, job: ClaimedJob, outcome: JobOutcome) -> None:
        for hook in outcome_hooks:
            self._running = hook.name
            try:
                hook.function(outcome)
            except BaseException:
                log.exception("the hook %s failed; the outcome of the job stays", hook.name, extra=labels(job))


def shown_outcome(
    job: ClaimedJob, outcome: Outcome, seconds: float | None, exception: BaseException | None, now: datetime
) -> JobOutcome | None:
    """Return what hooks are told; None for an attempt that does not count, because it was handed back."""
    shared = (job.id, job.task, job.queue, job.attempt, job.max_attempts, job.meta or {})
    match outcome:
        case Completed():
            return JobOutcome(*shared, "completed", seconds)
        case Retried(error=error, traceback=trace, delay=delay):
            due = now + timedelta(seconds=delay)
            return JobOutcome(*shared, "retried", seconds, error, trace, exception, due)
        case Failed(error=error, traceback=trace):
            return JobOutcome(*shared, "failed", seconds, error, trace, exception)
        case Snoozed(delay=delay, began=began):
            due = now + timedelta(seconds=delay)
            return JobOutcome(*shared, "snoozed", seconds, next_at=due) if began else None
        case Cancelled(reason=reason):
            return JobOutcome(*shared, "cancelled", seconds, reason)
        case Released() | Parked() | Divided() | Several():
            return None
        case _:
            assert_never(outcome)
