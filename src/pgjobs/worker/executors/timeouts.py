"""The watchdog: one thread that ends jobs whose time is up.

It raises `JobTimeout` in the job's thread. That works between two steps of Python code, not inside a blocking C call: a
job that still runs `STUCK_AFTER` seconds later is *stuck*, and its worker process will be replaced.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

from pgjobs.core.interrupts import JobTimeout
from pgjobs.worker.config import STUCK_AFTER
from pgjobs.worker.executors.async_exception import clear_exception, raise_in_thread
from pgjobs.worker.executors.shortages import ShortageError
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.critical_thread import CriticalThread

MAX_WAIT = 3600.0  # seconds


class Alarm:
    """What to do when a job's time is up, unless it has ended before. `thread`: where it runs (None: on the loop)."""

    __slots__ = ("_fired", "_lock", "_thread", "job", "over")

    def __init__(self, job: ClaimedJob, thread: int | None = None) -> None:
        self.job: ClaimedJob | None = job
        self.over = False
        self._thread = thread
        self._fired = False
        self._lock = threading.Lock()

    def fire(self) -> None:
        """Raise `JobTimeout` in the job's thread."""
        with self._lock:
            if not self.over and self._thread is not None:
                self._fired = True
                raise_in_thread(self._thread, JobTimeout)

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
        self._heap: list[tuple[float, int, bool, Alarm]] = []
        self._enough = 1_000  # alarms in the heap, before those that are over are thrown out
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._running = False

    def watch(self, alarm: Alarm, seconds: float) -> None:
        """Fire the alarm after `seconds`.

        Raises:
            ShortageError: the thread could not be started.

        """
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
            deadline = time.monotonic() + seconds
            heapq.heappush(self._heap, (deadline, next(self._numbers), False, alarm))
            if self._heap[0][3] is alarm:
                self._changed.notify()

    def work(self) -> None:
        """Wait for the next deadline, forever."""
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > time.monotonic():
                    rest = self._heap[0][0] - time.monotonic() if self._heap else MAX_WAIT
                    self._changed.wait(min(rest, MAX_WAIT))
                _, number, second, alarm = heapq.heappop(self._heap)
                if not alarm.over and not second:
                    heapq.heappush(self._heap, (time.monotonic() + STUCK_AFTER, number, True, alarm))
            job = alarm.job
            if job is None:
                continue
            if second:
                self._stuck(job)
            else:
                alarm.fire()
