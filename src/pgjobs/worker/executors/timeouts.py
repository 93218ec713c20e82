"""The watchdog: one thread that raises in jobs' threads. It ends jobs whose time is up, or that are cancelled by force.

That works between two steps of Python code, not inside a blocking C call: a job that still runs `STUCK_AFTER` seconds
after its `JobTimeout` is *stuck*, and its worker process will be replaced.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

from pgjobs.core.interrupts import JobCancelled, JobTimeout
from pgjobs.worker.config import STUCK_AFTER
from pgjobs.worker.executors.async_exception import clear_exception
from pgjobs.worker.executors.safe_place import raise_safely
from pgjobs.worker.executors.shortages import ShortageError
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.critical_thread import CriticalThread

MAX_WAIT = 3600.0  # seconds
SOON = 0.005  # seconds until it is looked again whether a job is where something can be raised
AGAIN = 1.0  # seconds until it is raised again in a job that continues


class Alarm:
    """What to raise in a job, unless it has ended before. `thread`: where it runs (None: on the loop)."""

    __slots__ = ("_error", "_fired", "_lock", "_thread", "job", "over")

    def __init__(
        self, job: ClaimedJob, thread: int | None = None, error: type[JobTimeout | JobCancelled] = JobTimeout
    ) -> None:
        self.job: ClaimedJob | None = job
        self.over = False
        self._error = error
        self._thread = thread
        self._fired = False
        self._lock = threading.Lock()

    def fire(self) -> float | None:
        """Raise it in the job's thread. Return the seconds until it is time to look again; None: never.

        A job may swallow it, and continue: then it comes again, unless the job is cleaning up after it.
        """
        with self._lock:
            if self.over or self._thread is None:
                return None
            if not raise_safely(self._thread, self._error):
                return SOON
            self._fired = True
            return AGAIN

    def end(self) -> None:
        """Record that the job has ended. An exception that has not arrived yet is cleared."""
        with self._lock:
            self.over = True
            self.job = None  # the watchdog may hold this alarm for long, but not the job's payload
            if self._fired and self._thread is not None:
                clear_exception(self._thread)


class Watchdog(CriticalThread):
    """Fires alarms. `stuck(job)` is called for a job that continues after its alarm."""

    def __init__(self, stuck: Callable[[ClaimedJob], None]) -> None:
        super().__init__(name="pgjobs-watchdog", daemon=True)
        self._stuck = stuck
        self._heap: list[tuple[float, int, str, Alarm]] = []
        self._enough = 1_000  # alarms in the heap, before those that are over are thrown out
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._running = False

    def watch(self, alarm: Alarm, seconds: float) -> None:
        """Fire the alarm after `seconds`; the job is stuck if it does not end then.

        Raises:
            ShortageError: the thread could not be started.

        """
        self._add(seconds, "first", alarm)

    def ring(self, alarm: Alarm) -> None:
        """Fire the alarm now, and as long as the job runs. It may take its time to end.

        Raises:
            ShortageError: the thread could not be started.

        """
        self._add(0.0, "again", alarm)

    def _add(self, seconds: float, stage: str, alarm: Alarm) -> None:
        with self._changed:
            if not self._running:  # the thread exists only where timeouts are used
                try:
                    self.start()
                except RuntimeError as error:
                    raise ShortageError(f"a thread for timeouts cannot be started: {error}") from error
                self._running = True
            if len(self._heap) >= self._enough:
                self._heap = [entry for entry in self._heap if not entry[3].over]
                heapq.heapify(self._heap)
                self._enough = 2 * len(self._heap) + 1_000
            self._push(seconds, next(self._numbers), stage, alarm)
            if self._heap[0][3] is alarm:
                self._changed.notify()

    def work(self) -> None:
        """Wait for the next deadline, forever."""
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > time.monotonic():
                    rest = self._heap[0][0] - time.monotonic() if self._heap else MAX_WAIT
                    self._changed.wait(min(rest, MAX_WAIT))
                _, number, stage, alarm = heapq.heappop(self._heap)
                if stage == "first" and not alarm.over:
                    self._push(STUCK_AFTER, number, "last", alarm)
            job = alarm.job
            if job is None:
                continue
            if stage == "last":
                self._stuck(job)
            elif (pause := alarm.fire()) is not None:
                with self._changed:
                    self._push(pause, next(self._numbers), "again", alarm)

    def _push(self, seconds: float, number: int, stage: str, alarm: Alarm) -> None:
        heapq.heappush(self._heap, (time.monotonic() + seconds, number, stage, alarm))
