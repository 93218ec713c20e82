"""The threads of one queue, which take jobs from its inbox.

A thread holds a slot while it runs a job. A coroutine is passed on to the event loop with its slot, and a
process job runs in a child while the thread waits for it. A thread is added when all others are busy.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextvars import Context
from functools import partial

from pgjobs.core.errors import PayloadError
from pgjobs.core.interrupts import JobCancelled, JobTimeout
from pgjobs.jobs.outcome import RELEASED, Outcome
from pgjobs.payload.pickling import Call
from pgjobs.worker.executors.awaiting import Rest
from pgjobs.worker.executors.cancel_in_thread import CancellableThread
from pgjobs.worker.executors.child_process import ChildProcess
from pgjobs.worker.executors.event_loop import EventLoopExecutor
from pgjobs.worker.executors.invoke import (
    await_here,
    call_now,
    handed_back,
    open_payload,
    outcome_of,
    refused,
    runs_on_loop,
)
from pgjobs.worker.executors.shortages import ShortageError, Shortages, is_shortage
from pgjobs.worker.executors.timeouts import Alarm, Watchdog
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.runtime.critical_thread import BROKEN
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.job_output import finish_lines, unfinished
from pgjobs.worker.runtime.process_guard import forked
from pgjobs.worker.runtime.scoreboard import Scoreboard

log = logging.getLogger("pgjobs.executor")


class ThreadExecutor:
    """All threads of one local queue."""

    def __init__(
        self,
        local_queue: LocalQueue,
        outbox: Outbox,
        loop: EventLoopExecutor,
        watchdog: Watchdog,
        scoreboard: Scoreboard,
        child: Callable[[], ChildProcess],
        shortages: Shortages,
    ) -> None:
        self._local_queue = local_queue
        self._outbox = outbox
        self._loop = loop
        self._watchdog = watchdog
        self._scoreboard = scoreboard
        self._child = child
        self._shortages = shortages
        self._lock = threading.Lock()
        self._threads = 0
        self._ending = False
        self._children: list[ChildProcess] = []
        self._cancellable: list[CancellableThread] = []

    def start(self) -> None:
        """Start the first thread.

        Raises:
            RuntimeError: it cannot be started. The queue would never run a job.

        """
        self._add()
        if not self._threads:
            raise RuntimeError(f"queue {self._local_queue.name}: no thread can be started")

    def stop(self) -> None:
        """Have every thread end after the job that it runs."""
        self._local_queue.inbox.close(self._threads)

    def cancel(self, claim: Claim, *, force: bool) -> bool:
        """Ask a job to end, or kill its process; False: none of these threads runs it. `force`: raise in its thread."""
        children, threads = self.children, self._cancellable.copy()
        return any(child.cancel(claim) for child in children) or any(
            thread.cancel(claim, force=force) for thread in threads
        )

    @property
    def children(self) -> list[ChildProcess]:
        """The child processes of its threads."""
        return self._children.copy()

    def end_coroutines(self) -> None:
        """Cancel the coroutines that run in these threads: the grace is over. What raises then is handed back."""
        self._ending = True
        for thread in self._cancellable.copy():
            thread.loop.cancel()

    @property
    def has_coroutines(self) -> bool:
        """Whether a coroutine runs in one of these threads, or has ended and is not acknowledged."""
        awaited = {thread.awaited for thread in self._cancellable.copy()}
        return any(job.key() in awaited for job in self._local_queue.unfinished())

    def _add(self) -> None:
        with self._lock:
            if self._threads >= self._local_queue.slots:
                return
            self._threads += 1
            name = f"pgjobs-{self._local_queue.name}-{self._threads}"
        try:
            threading.Thread(target=self._consume, name=name, daemon=True).start()
        except RuntimeError as error:  # the limit of threads is reached
            with self._lock:
                self._threads -= 1
            log.warning(
                "queue %s: no more threads can be started; %d continue: %s",
                self._local_queue.name,
                self._threads,
                error,
            )

    def _consume(self) -> None:
        local_queue, inbox, begin, slots = (
            self._local_queue,
            self._local_queue.inbox,
            self._scoreboard.writer(),
            self._local_queue.slots,
        )
        coroutines, waiting, sleeping = local_queue.coroutines, inbox.jobs, inbox.sleeping
        claim_stats, end_stats = local_queue.claim_stats, local_queue.end_stats
        get, put, clock = waiting.popleft, self._outbox.put, time.monotonic
        thread = CancellableThread(self._watchdog)
        self._cancellable.append(thread)
        slot = local_queue.free_slots.get()
        child: ChildProcess | None = None
        job: ClaimedJob | None = None
        outcome: Outcome | None
        try:
            while True:
                try:
                    job = get()
                except IndexError:
                    job = inbox.wait()
                    if job is None:
                        return
                began = clock()
                apart = job.executor == "process" or job.isolate
                if not apart:
                    begin(slot, job.id, job.claim_number, 0.0)
                if job.task in coroutines:
                    pass  # it will not keep this thread
                elif not sleeping:
                    if self._threads < slots:
                        self._add()
                elif waiting and (claim_stats.stalled or not end_stats.quick):
                    inbox.wake_another()
                if apart:
                    if child is None:
                        child = self._child()
                        self._children.append(child)
                    try:
                        outcome = child.run(job, partial(begin, slot, job.id, job.claim_number, 0.0))
                    except ShortageError as error:
                        outcome = self._given_back(error)
                    put((job, outcome, clock() - began))
                    continue
                run = self._run if job.timeout is None else self._run_in_time
                outcome = run(job, slot, thread)
                if outcome is None:  # it continues on the event loop, with this slot
                    slot = local_queue.free_slots.get()
                    continue
                if forked():
                    os._exit(0)  # the job forked, and its child returned here: it is not a worker
                if job.timeout is not None:
                    self._scoreboard.clear_deadline(slot)
                if unfinished:
                    finish_lines(job)
                put((job, outcome, clock() - began))
                job = None  # an idle thread keeps nothing of a finished job alive
        except BaseException as error:
            # Not raised by the job, whose exceptions are outcomes by now: out of memory, or a bug in pgjobs.
            log.exception("an executor thread of queue %s broke; a new one takes its place", local_queue.name)
            if job is not None:
                put((job, outcome_of(job, error), None))
            with self._lock:
                self._threads -= 1
            self._add()
            if not self._threads:
                os._exit(BROKEN)  # no thread can be started: the queue would never run a job again
        finally:
            self._cancellable.remove(thread)
            thread.loop.close()
            if child is not None:
                child.close()
                self._children.remove(child)
            local_queue.free_slots.put(slot)

    def _run(self, job: ClaimedJob, slot: int, thread: CancellableThread) -> Outcome | None:
        """Run a job here, or pass it on to the event loop and return None."""
        try:
            call, context = open_payload(job), Context()
            done = Rest(call) if runs_on_loop(job, call) else self._call(job, call, context, thread)
            return self._finish(job, done, slot, context, thread, None) if type(done) is Rest else done
        except PayloadError as error:
            return self._refused(job, error)
        except ShortageError as error:
            return self._given_back(error)

    def _refused(self, job: ClaimedJob, error: PayloadError) -> Outcome:
        return self._given_back(error) if is_shortage(error.__cause__) else refused(job, error)

    def _given_back(self, error: Exception) -> Outcome:
        self._shortages.wait(error)
        return RELEASED

    @staticmethod
    def _call(job: ClaimedJob, call: Call, context: Context, thread: CancellableThread) -> Outcome | Rest:
        outcome: Outcome | Rest | None = None
        try:
            thread.job = job
            outcome = context.run(call_now, job, call)
            thread.job = None
            if thread.alarm is not None:
                thread.leave()
        except JobCancelled:  # just before or after the call
            thread.leave()
        return outcome or outcome_of(job, JobCancelled())

    def _run_in_time(self, job: ClaimedJob, slot: int, thread: CancellableThread) -> Outcome | None:
        """Do the same under an alarm.

        The job's time begins when its payload is loaded: a module that this imports, perhaps a slow one, is imported
        as a whole. To break that off would leave half a module to the next job.
        """
        assert job.timeout is not None  # noqa: S101 (for mypy)
        alarm = Alarm(job, threading.get_ident())
        done: Outcome | Rest | None = None
        call: Call | None = None
        try:
            call, context = open_payload(job), Context()
            if runs_on_loop(job, call):
                return self._finish(job, Rest(call), slot, context, thread, job.timeout)
            deadline = time.monotonic() + job.timeout
            self._scoreboard.set_deadline(slot, deadline)
            self._watchdog.watch(alarm, job.timeout)
            done = self._call(job, call, context, thread)
            alarm.end()
            if type(done) is Rest:
                return self._finish(job, done, slot, context, thread, deadline - time.monotonic())
        except PayloadError as error:
            return self._refused(job, error)
        except ShortageError as error:
            return self._given_back(error)
        except JobTimeout as error:  # between the job's end and the alarm's
            alarm.end()
            thread.leave()
            if done is None or type(done) is Rest:
                return outcome_of(job, error, None if call is None else call.callable)
        return done

    def _finish(
        self,
        job: ClaimedJob,
        rest: Rest,
        slot: int,
        context: Context,
        thread: CancellableThread,
        seconds: float | None,
    ) -> Outcome | None:
        """Await what is left of a job in this thread, if it asked for one; else pass it on to the event loop."""
        if job.executor != "thread":
            if rest.awaitable is None:
                self._local_queue.coroutines.add(job.task)
            self._loop.submit(job, rest, slot, context, seconds)
            return None
        alarm = Alarm(job)
        if seconds is not None:  # the loop cancels it; the watchdog only looks whether that helped
            self._watchdog.watch(alarm, seconds)
        thread.job, thread.awaited = job, job.key()
        outcome = context.run(await_here, job, rest, thread.loop, seconds)
        thread.leave()
        alarm.end()
        return handed_back(outcome) if self._ending else outcome
