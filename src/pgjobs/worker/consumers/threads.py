"""The consumers of one queue: threads that take jobs from its inbox.

A thread holds a slot's token while it runs a job. What belongs on the event loop is passed on with its token, and
what belongs in a child process is run there while the thread waits for it. Threads are made when all others are busy.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from pgjobs.context import CurrentJob
from pgjobs.errors import PayloadError
from pgjobs.outcome import JobTimeout, Outcome
from pgjobs.payload import Call
from pgjobs.worker.consumers.invoke import call_now, open_payload, outcome_of, refused, runs_on_loop
from pgjobs.worker.consumers.loop import LoopRunner
from pgjobs.worker.consumers.processes import ChildProcess
from pgjobs.worker.forks import forked
from pgjobs.worker.lane import Lane, Outbox
from pgjobs.worker.timeouts import Alarm, Watchdog

log = logging.getLogger("pgjobs.consumer")


class ThreadConsumers:
    """All threads of one lane. `begin(slot, id, attempt)` notes on the board what starts."""

    def __init__(
        self,
        lane: Lane,
        outbox: Outbox,
        loop: LoopRunner,
        watchdog: Watchdog,
        begin: Callable[[int, int, int], None],
        child: Callable[[], ChildProcess],
    ) -> None:
        self._lane = lane
        self._outbox = outbox
        self._loop = loop
        self._watchdog = watchdog
        self._begin = begin
        self._child = child
        self._idle: list[None] = []  # one entry per thread that waits for a job; append and pop are atomic
        self._lock = threading.Lock()
        self._threads = 0
        self._children: list[ChildProcess] = []

    def start(self) -> None:
        """Start the first thread."""
        self._add()

    def stop(self) -> None:
        """Let every thread end after the job that it runs."""
        for _ in range(self._threads):
            self._lane.inbox.put(None)

    def kill_children(self) -> None:
        """Kill the child processes with all that they started. What they ran gets no outcome here."""
        for child in self._children.copy():
            child.abandon()

    def _add(self) -> None:
        with self._lock:
            if self._threads >= self._lane.slots:
                return
            self._threads += 1
            name = f"pgjobs-{self._lane.name}-{self._threads}"
        threading.Thread(target=self._consume, name=name, daemon=True).start()

    def _consume(self) -> None:
        lane, idle, begin, slots = self._lane, self._idle, self._begin, self._lane.slots
        get, put, clock = lane.inbox.get, self._outbox.put, time.monotonic
        slot = lane.tokens.get()
        child: ChildProcess | None = None
        job: CurrentJob | None = None
        try:
            while True:
                idle.append(None)
                job = get()
                idle.pop()
                if job is None:
                    return
                lane.last_start = began = clock()
                begin(slot, job.id, job.attempt)
                if job.executor == "process" or job.isolate:
                    if not idle and self._threads < slots:
                        self._add()
                    if child is None:
                        child = self._child()
                        self._children.append(child)
                    put((job, child.run(job), clock() - began))
                    continue
                try:
                    call = open_payload(job)
                except PayloadError as error:
                    put((job, refused(job, error), clock() - began))
                    continue
                if runs_on_loop(job, call):
                    self._loop.submit(job, call, slot)
                    slot = lane.tokens.get()
                    continue
                if not idle and self._threads < slots:
                    self._add()
                outcome = call_now(job, call) if job.timeout is None else self._call_with_alarm(job, call)
                if forked():
                    os._exit(0)  # the job forked, and its child came back to us: this process is nobody's worker
                put((job, outcome, clock() - began))
                job = call = None  # type: ignore[assignment]  # an idle thread keeps nothing of a finished job alive
        except BaseException as error:
            # Not the job's own doing (its exceptions are outcomes by now): out of memory, or a mistake of ours.
            log.exception("a consumer of queue %s broke; another one takes its place", lane.name)
            if job is not None:
                put((job, outcome_of(job, error), None))
            with self._lock:
                self._threads -= 1
            self._add()
        finally:
            if child is not None:
                self._children.remove(child)
                child.close()
            lane.tokens.put(slot)

    def _call_with_alarm(self, job: CurrentJob, call: Call) -> Outcome:
        assert job.timeout is not None  # noqa: S101 (for mypy)
        alarm = Alarm(job, threading.get_ident())
        outcome: Outcome | None = None
        try:
            self._watchdog.watch(alarm, job.timeout)
            outcome = call_now(job, call)
            alarm.end()
        except JobTimeout as error:  # it arrived between the job's end and the alarm's
            alarm.end()
            if outcome is None:
                outcome = outcome_of(job, error, call.callable)
        return outcome
