"""Lets another thread ask a thread's job to end, or have `JobCancelled` raised in it by the watchdog.

The exception must never reach the thread outside of the job that it is meant for, and jobs that are not cancelled must
not pay for that with a lock. So the thread first publishes its job, and checks for an alarm afterwards; `cancel` first
sets the alarm, and then reads the job. Whichever comes first, one of the two sees the other.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from pgjobs.core.interrupts import JobCancelled
from pgjobs.worker.executors.awaiting import KeptLoop
from pgjobs.worker.executors.shortages import ShortageError
from pgjobs.worker.executors.timeouts import Alarm, Watchdog
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.job_claim import Claim

if TYPE_CHECKING:
    import asyncio


class CancellableThread:
    """One executor thread. `job`: what it runs; `alarm`: if there is one, `leave` has to be called after the job.

    `loop`: for the coroutines that it runs; `awaited`: the claim of the last one.
    """

    __slots__ = ("_lock", "_task", "_thread", "_watchdog", "alarm", "awaited", "job", "loop")

    def __init__(self, watchdog: Watchdog) -> None:
        self.job: ClaimedJob | None = None
        self.alarm: Alarm | None = None
        self.loop = KeptLoop()
        self.awaited: Claim | None = None
        self._watchdog = watchdog
        self._thread = threading.get_ident()
        self._task: asyncio.Task[None] | None = None  # the last one that was cancelled
        self._lock = threading.Lock()

    def cancel(self, claim: Claim, *, force: bool) -> bool:
        """Ask the job to end, from another thread; `force`: raise in it as long as it runs. False: it is not here."""
        job = self.job
        asked = None if job is None else job.find(claim)
        if job is None or asked is None:
            return False
        asked.cancelled = True
        task = self.loop.task
        if task is not None:  # a coroutine is cancelled as on the event loop, once
            if task is not self._task:
                self._task = task
                self.loop.cancel()
        elif force:
            self._raise_in(job)
        return True

    def _raise_in(self, job: ClaimedJob) -> None:
        with self._lock:
            if self.alarm is not None:
                return
            self.alarm = alarm = Alarm(job, self._thread, JobCancelled)
            if self.job is job:
                with suppress(ShortageError):  # the request comes again while the job runs
                    self._watchdog.ring(alarm)
                    return
            self.alarm = None

    def leave(self) -> None:
        """Record that the job has ended. An exception that has not arrived yet is cleared."""
        self.job = None
        if self.alarm is not None:
            with self._lock:
                if self.alarm is not None:
                    self.alarm.end()
                    self.alarm = None
