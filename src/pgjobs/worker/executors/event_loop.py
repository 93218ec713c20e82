"""The event loop for `async def` jobs: one thread with one loop for all queues of a worker process.

Jobs are handed over in batches: the loop is woken once for all that were submitted since it last looked.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Set
from contextvars import Context
from types import CoroutineType
from typing import TYPE_CHECKING

from pgjobs.core.errors import PayloadError
from pgjobs.hooks.kinds import around_hooks
from pgjobs.jobs.context import current
from pgjobs.jobs.outcome import Outcome
from pgjobs.jobs.transaction_batch import IN_TRANSACTION
from pgjobs.payload.pickling import Call
from pgjobs.worker.executors.around import run_awaiting
from pgjobs.worker.executors.awaiting import Rest, in_time, settle
from pgjobs.worker.executors.in_transaction import in_transaction
from pgjobs.worker.executors.invoke import completed, handed_back, open_payload, outcome_of, refused, runs_on_loop
from pgjobs.worker.executors.shortages import NOT_YET, ShortageError, is_shortage
from pgjobs.worker.executors.timeouts import Alarm, Watchdog
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.job_output import finish_lines, unfinished
from pgjobs.worker.runtime.process_guard import forked, in_fork
from pgjobs.worker.runtime.scoreboard import Scoreboard

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("pgjobs.executor")
LOOP_GOES_ROUND = 1.0  # seconds
Submission = tuple[ClaimedJob, Call, int, Context, float | None, Awaitable[object] | None, Alarm | None]


class EventLoopExecutor:
    """Runs coroutines. The loop and its thread are made when the first one comes."""

    def __init__(self, outbox: Outbox, watchdog: Watchdog, scoreboard: Scoreboard) -> None:
        self._outbox = outbox
        self._scoreboard = scoreboard
        self._begin = scoreboard.writer()
        self._watchdog = watchdog
        self._submitted: deque[Submission] = deque()
        self._jobs: dict[asyncio.Task[None], ClaimedJob] = {}  # asyncio itself keeps weak references only
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: Callable[..., asyncio.Task[None]]
        self._lock = threading.Lock()
        self._woken = False
        self._ending = False

    def submit(self, job: ClaimedJob, rest: Rest, slot: int, context: Context, seconds: float | None) -> None:
        """Run on the loop what is left of a job, in its context; its slot is free again afterwards. From any thread.

        `seconds`: that it may take (None: no limit).

        Raises:
            ShortageError: the loop, or the watchdog, could not be started.

        """
        loop = self._loop or self._start()
        alarm = None
        if seconds is not None:  # from here on, because the loop may not get round to it
            alarm = Alarm(job)
            self._scoreboard.set_deadline(slot, time.monotonic() + seconds)
            self._watchdog.watch(alarm, seconds)
        self._submitted.append((job, rest.call, slot, context, seconds, rest.awaitable, alarm))
        if not self._woken:
            self._woken = True
            loop.call_soon_threadsafe(self._take)

    def cancel(self, claims: Set[Claim]) -> None:
        """Cancel the tasks of these claims, once each. From any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel, claims)

    def _cancel(self, claims: Set[Claim]) -> None:
        assert self._loop is not None  # noqa: S101 (for mypy)
        for task, job in self._jobs.items():
            asked = [found for claim in claims if (found := job.find(claim)) is not None and not found.cancelled]
            for found in asked:
                found.cancelled = True
            if asked:
                self._loop.call_soon(task.cancel)  # after its first step: a task that never began would settle nothing

    def end(self) -> None:
        """Cancel all tasks: the grace is over. What raises from now on is handed back. From any thread."""
        self._ending = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel_all)

    def _cancel_all(self) -> None:
        assert self._loop is not None  # noqa: S101 (for mypy)
        for task in self._jobs:
            self._loop.call_soon(task.cancel)  # after its first step, as in `_cancel`

    @property
    def is_idle(self) -> bool:
        """Whether no job runs here."""
        return not self._jobs

    def blocker(self, job: ClaimedJob) -> ClaimedJob:
        """Return the job to blame when `job` does not stop: another one, if that blocks the loop."""
        loop = self._loop
        here = [*self._jobs.copy().values(), *(submission[0] for submission in self._submitted.copy())]
        if loop is None or job not in here:
            return job  # it runs in a thread
        if self.ping().wait(LOOP_GOES_ROUND):
            return job
        import asyncio

        task = asyncio.current_task(loop)
        return job if task is None else self._jobs.get(task, job)

    def ping(self) -> threading.Event:
        """Return an event that the loop sets at its next iteration; a job that blocks the loop delays that."""
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
                try:
                    loop = asyncio.new_event_loop()
                except OSError as error:
                    raise ShortageError(f"an event loop cannot be made: {error}") from error
                self._task = asyncio.Task
                # A forked child shares the loop's wake-up pipe, and must not read from it.
                in_fork(loop.stop)
                try:
                    threading.Thread(target=self._serve, args=(loop,), name="pgjobs-loop", daemon=True).start()
                except RuntimeError as error:
                    loop.close()
                    raise ShortageError(f"a thread for the event loop cannot be started: {error}") from error
                self._loop = loop
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop forever: a job may stop it, and SystemExit in a task that a job made leaves `run_forever`."""
        while True:
            try:
                loop.run_forever()
            except BaseException as error:
                log.warning(
                    "a task that a job started raised %s in the event loop; the loop continues", type(error).__name__
                )
            if forked():
                os._exit(0)  # a job forked, and its child returned here: it is not a worker

    def _take(self) -> None:
        assert self._loop is not None  # noqa: S101 (for mypy)
        self._woken = False  # before looking: a job that is submitted now wakes the loop again
        while self._submitted:
            self._create(*self._submitted.popleft())

    def _create(
        self,
        job: ClaimedJob,
        call: Call,
        slot: int,
        context: Context,
        seconds: float | None,
        awaitable: Awaitable[object] | None,
        alarm: Alarm | None,
    ) -> None:
        # Not `loop.create_task`: a job may have changed the loop's task factory.
        task = self._task(self._run(job, call, slot, seconds, awaitable, alarm), loop=self._loop, context=context)
        self._jobs[task] = job
        task.add_done_callback(self._jobs.pop)

    async def _run(
        self,
        job: ClaimedJob,
        call: Call,
        slot: int,
        seconds: float | None,
        awaitable: Awaitable[object] | None,
        alarm: Alarm | None,
    ) -> None:
        current.set(job)
        job.function = call.callable
        began = time.monotonic()
        try:
            if awaitable is None:
                function = call.callable
                if around_hooks.hooks:
                    awaitable = run_awaiting(job, call)
                elif type(function) in IN_TRANSACTION:
                    awaitable = in_transaction(job, call)
                else:
                    awaitable = function(*call.args, **call.kwargs)
            if type(awaitable) is not CoroutineType:
                awaitable = settle(awaitable)  # it may be anything
            if seconds is None:
                result = await awaitable
                if result is not None:
                    result = await settle(result)
            else:
                result = await in_time(awaitable, seconds)
            outcome: Outcome = completed(job, call, result)
        except BaseException as error:
            # Also CancelledError (by the job itself, or by `cancel`), SystemExit and KeyboardInterrupt: they are this
            # job's outcome, and must not reach the loop.
            outcome = outcome_of(job, error, call.callable)
            if self._ending:
                outcome = handed_back(outcome)
        if forked():
            os._exit(0)
        if alarm is not None:  # the loop cancels a job; the watchdog only looks whether that helped
            alarm.end()
            self._scoreboard.clear_deadline(slot)
        if unfinished:
            finish_lines(job)
        self._outbox.put((job, outcome, time.monotonic() - began))
        self._start_next(job.local_queue, slot)

    def _start_next(self, local_queue: LocalQueue, slot: int) -> None:
        """Start the queue's next job in this slot if it is one for the loop too; else give the slot back.

        It does not go through a thread: waking one for every few jobs took a third of the time of quick jobs.
        """
        waiting = local_queue.inbox.jobs
        while waiting:
            try:
                job = waiting.popleft()
            except IndexError:
                break
            if (
                job.task not in local_queue.coroutines
                or job.executor == "process"
                or job.isolate
                or job.timeout is not None
            ):
                waiting.appendleft(job)  # a thread has to run it
                local_queue.inbox.wake_another()
                break
            began = time.monotonic()
            self._begin(slot, job.id, job.claim_number, 0.0)
            try:
                call = Context().run(open_payload, job)  # here is still the one of the job that has ended
            except PayloadError as error:
                outcome = NOT_YET if is_shortage(error.__cause__) else refused(job, error)
                self._outbox.put((job, outcome, time.monotonic() - began))
                continue
            if not runs_on_loop(job, call):
                waiting.appendleft(job)
                local_queue.inbox.wake_another()
                break
            self._create(job, call, slot, Context(), None, None, None)
            return
        local_queue.free_slots.put(slot)
