"""Lets another thread ask a thread's job to end, or raise `JobCancelled` in it.

The exception must never reach the thread outside of the job that it is meant for, and jobs that are not cancelled must
not pay for that with a lock. So the thread first publishes its job, and checks for an interrupt afterwards; `cancel`
first announces the interrupt, and then reads the job. Whichever comes first, one of the two sees the other.
"""

from __future__ import annotations

import threading

from pgjobs.core.interrupts import JobCancelled
from pgjobs.worker.executors.async_exception import clear_exception, raise_in_thread
from pgjobs.worker.executors.awaiting import KeptLoop
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.job_claim import Claim


class ThreadInterrupt:
    """One executor thread. `job`: what it runs; `interrupt_pending`: `leave` has to be called after the job.

    `loop`: for the coroutines that it runs.
    """

    __slots__ = ("_lock", "_thread", "interrupt_pending", "job", "loop")

    def __init__(self) -> None:
        self.job: ClaimedJob | None = None
        self.interrupt_pending = False
        self.loop = KeptLoop()
        self._thread = threading.get_ident()
        self._lock = threading.Lock()

    def cancel(self, claim: Claim, *, force: bool) -> bool:
        """Ask the job to end, from another thread; with `force` raise in it, once. False: it does not run here."""
        job = self.job
        if job is None or job.key() != claim:
            return False
        first, job.cancelled = not job.cancelled, True
        if self.loop.task is not None:  # a coroutine is cancelled as on the event loop, once
            if first:
                self.loop.cancel()
        elif force:
            with self._lock:
                if not self.interrupt_pending:
                    self.interrupt_pending = True
                    if self.job is job:
                        raise_in_thread(self._thread, JobCancelled)
        return True

    def leave(self) -> None:
        """Record that the job has ended. An exception that has not arrived yet is cleared."""
        self.job = None
        if self.interrupt_pending:
            with self._lock:
                clear_exception(self._thread)
                self.interrupt_pending = False
