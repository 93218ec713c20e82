"""The event loop for `async def` jobs: one thread with one loop for all queues of a worker process.

Jobs are handed over in batches: the loop is woken once for all that were submitted since it last looked.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from pgjobs.context import CurrentJob, current
from pgjobs.outcome import COMPLETED, Outcome
from pgjobs.payload import Call
from pgjobs.worker.consumers.invoke import in_time, outcome_of
from pgjobs.worker.forks import forked, in_fork
from pgjobs.worker.lane import Outbox
from pgjobs.worker.timeouts import Alarm, Watchdog

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("pgjobs.consumer")
Submission = tuple[CurrentJob, Call, int]


class LoopRunner:
    """Runs coroutines. The loop and its thread are made when the first one comes."""

    def __init__(self, outbox: Outbox, watchdog: Watchdog) -> None:
        self._outbox = outbox
        self._watchdog = watchdog
        self._submitted: deque[Submission] = deque()
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself keeps weak references only
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._woken = False

    def submit(self, job: CurrentJob, call: Call, slot: int) -> None:
        """Run the job on the loop; its slot's token goes back to the lane afterwards. From any thread."""
        loop = self._loop or self._start()
        self._submitted.append((job, call, slot))
        if not self._woken:
            self._woken = True
            loop.call_soon_threadsafe(self._take)

    def ping(self) -> threading.Event:
        """Give an event that is set when the loop comes round, which it does not while a job blocks it."""
        answered = threading.Event()
        if self._loop is None:
            answered.set()
        else:
            self._loop.call_soon_threadsafe(answered.set)
        return answered

    def _start(self) -> asyncio.AbstractEventLoop:
        import asyncio

        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                # A forked child shares the loop's wake-up pipe: it must not go on reading from it.
                in_fork(loop.stop)
                threading.Thread(target=self._serve, args=(loop,), name="pgjobs-loop", daemon=True).start()
                self._loop = loop
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop for ever: a job may stop it, and a SystemExit in a task that a job made gets out of it."""
        while True:
            try:
                loop.run_forever()
            except BaseException as error:
                log.warning("a task of a job raised %s in the event loop, which goes on", type(error).__name__)
            if forked():
                os._exit(0)  # a job forked, and its child came back to us: this process is nobody's worker

    def _take(self) -> None:
        assert self._loop is not None  # noqa: S101 (for mypy)
        self._woken = False  # before looking: whoever comes now wakes us again
        create, tasks = self._loop.create_task, self._tasks
        while self._submitted:
            task = create(self._run(*self._submitted.popleft()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _run(self, job: CurrentJob, call: Call, slot: int) -> None:
        current.set(job)  # a task has a context of its own
        began = time.monotonic()
        try:
            if job.timeout is None:
                await call.callable(*call.args, **call.kwargs)
                outcome: Outcome = COMPLETED
            else:
                outcome = await self._run_in_time(job, call, job.timeout)
        except BaseException as error:
            # Also CancelledError (nobody cancels this task but the job itself), SystemExit and KeyboardInterrupt:
            # they are this job's outcome, and none of the loop's business.
            outcome = outcome_of(job, error, call.callable)
        if forked():
            os._exit(0)
        self._outbox.put((job, outcome, time.monotonic() - began))
        job.lane.tokens.put(slot)

    async def _run_in_time(self, job: CurrentJob, call: Call, seconds: float) -> Outcome:
        # The loop cancels it; the watchdog only looks whether that helped.
        alarm = Alarm(job)
        self._watchdog.watch(alarm, seconds)
        try:
            await in_time(call.callable(*call.args, **call.kwargs), seconds)
        finally:
            alarm.end()
        return COMPLETED
