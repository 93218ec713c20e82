"""Runs broadcasts in a worker process, in a thread of their own: it waits for no slot, nor for what the jobs do.

The thread begins when there is a broadcast for this process or its host, with a connection, and keeps that for a while.
Broadcasts run one after another, in their order. Each was claimed, in a committed transaction, before it begins: so
none is run twice, and one whose process dies is gone.

What runs is not a job: it has no `current_job()`, and hooks around jobs are not called.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pgjobs.core.config import settings
from pgjobs.core.error_text import leaves
from pgjobs.core.errors import ResultError
from pgjobs.core.interrupts import JobTimeout
from pgjobs.core.text import one_line
from pgjobs.db.encoding import encoding_of
from pgjobs.db.statements import statement
from pgjobs.job_results.encode import encode
from pgjobs.jobs.job import options_of
from pgjobs.jobs.outcome import Failed
from pgjobs.jobs.retry import RetryPolicy, after_exception
from pgjobs.jobs.tracing import installed
from pgjobs.payload.pickling import Call, load
from pgjobs.payload.signing import sign_answer, verify_broadcast
from pgjobs.payload.step import split
from pgjobs.worker.executors.awaiting import KeptLoop, must_be_awaited
from pgjobs.worker.executors.own_code import run
from pgjobs.worker.executors.timeouts import Alarm, Watchdog
from pgjobs.worker.runtime.critical_thread import CriticalThread
from pgjobs.worker.runtime.process_guard import forked
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stop, Stopped

if TYPE_CHECKING:
    from pgjobs.worker.local.claimed_job import ClaimedJob

log = logging.getLogger("pgjobs.broadcasts")
KEEP_OPEN = 10.0  # seconds without a broadcast, until the connection is closed
END_WITHIN = 5.0  # seconds for which the end of one is written although the worker stops and PostgreSQL is away
_ONCE = RetryPolicy()


class BroadcastRun(NamedTuple):
    """A broadcast in this process, as claim_broadcast.sql returns it."""

    id: int
    broadcast_id: int
    target: str
    task: str
    timeout: float | None
    signature: bytes | None
    payload: bytes


class Answer(NamedTuple):
    """What came of it: its row's columns. `error` of one that has completed: why its value is not kept."""

    state: str
    error: str | None = None
    traceback: str | None = None
    is_json: bool | None = None
    signature: bytes | None = None
    value: bytes | None = None


class Broadcasts(CriticalThread):
    """The thread. `server`: makes its connection, from what ends the tries."""

    def __init__(self, server: Callable[[Stop], ReconnectingConnection], worker_id: int) -> None:
        super().__init__(name="pgjobs-broadcasts", daemon=True)
        self._worker_id = worker_id
        self._stopping = threading.Event()
        self._server = server(self._stopping)
        self._woken = threading.Event()
        self._working = False
        self._lock = threading.Lock()
        self._loop = KeptLoop()
        self._watchdog = Watchdog(self._on_stuck)
        self.stuck = False
        """Whether one does not stop after its timeout, so that this process should be replaced."""

    def wake(self) -> None:
        """Look for broadcasts, soon. From any thread."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._woken.set()
            if self.ident is None:
                try:
                    self.start()
                except RuntimeError as error:  # the limit of threads is reached; the next heartbeat wakes it again
                    self._woken.clear()
                    log.warning("no thread can be started for broadcasts: %s", error)

    @property
    def busy(self) -> bool:
        """Whether it runs one, or is to look for one."""
        return self._working or (self._woken.is_set() and not self._stopping.is_set())

    def stop(self) -> None:
        """Begin no more. What runs is finished, as long as this process lasts."""
        with self._lock:
            self._stopping.set()
            self._woken.set()

    def work(self) -> None:
        """Run what is there, whenever there may be something."""
        try:
            while not self._stopping.is_set():
                if not self._woken.wait(KEEP_OPEN):
                    self._server.close()
                    self._woken.wait()
                self._working = True
                self._woken.clear()
                while not self._stopping.is_set() and (found := self._server.run(self._claim)) is not None:
                    answer = self._answer(found)
                    self._server.run(partial(self._write, found, answer), patience=END_WITHIN)
                self._working = False
        except Stopped:
            pass
        finally:
            self._working = False
            self._server.close()
            self._loop.close()

    def _claim(self, server: ReconnectingConnection) -> BroadcastRun | None:
        values = {"worker_id": self._worker_id, "pid": os.getpid()}
        row = server.cursor.execute(statement("claim_broadcast"), values).fetchone()
        return None if row is None else BroadcastRun(*row)

    def _write(self, found: BroadcastRun, answer: Answer, server: ReconnectingConnection) -> None:
        stored = encoding_of(server.connection).stored
        texts = {
            name: None if text is None else stored(text)
            for name, text in (("error", answer.error), ("traceback", answer.traceback))
        }
        values = {**answer._asdict(), **texts, "id": found.id, "worker_id": self._worker_id}
        if server.cursor.execute(statement("end_broadcast"), values).fetchone() is None:
            log.warning("broadcast %d: what came of it here is known already, or too late", found.broadcast_id)

    def _answer(self, found: BroadcastRun) -> Answer:
        began = time.monotonic()
        try:
            call, carried = self._open(found)
            value = Context().run(self._run, found, call, carried)
            answer = _completed(found, call, value)
        except BaseException as error:
            for part in leaves(error):
                if isinstance(part, JobTimeout) and not part.args:
                    part.args = (f"ran longer than its {found.timeout or 0:g} s",)
            outcome = after_exception(error, 1, 1, _ONCE)
            wished = one_line(f"it asked for {type(outcome).__name__.lower()}, and a broadcast is tried once")
            answer = (
                Answer("failed", outcome.error, outcome.traceback)
                if isinstance(outcome, Failed)
                else Answer("failed", wished)
            )
        if forked():
            os._exit(0)  # it forked, and its child returned here: it is not a worker
        took = time.monotonic() - began
        if answer.state == "failed":
            log.error("broadcast %d, %s, failed after %.3g s: %s", found.broadcast_id, found.task, took, answer.error)
        else:
            log.info("broadcast %d, %s, completed after %.3g s", found.broadcast_id, found.task, took)
        return answer

    @staticmethod
    def _open(found: BroadcastRun) -> tuple[Call, Mapping[str, Any]]:
        """Check the signature, if this process has a key, and load the payload. It may carry the context of a trace.

        Raises:
            PayloadError: it cannot be loaded, or must not.

        """
        current = settings()
        payload = bytes(found.payload)
        if current.signing_keys:
            verify_broadcast(current.signing_keys, found.signature, found.target, found.task, found.timeout, payload)
        carried: Mapping[str, Any] = {}
        if payload[:1] == b"\0":
            head, payload = split(payload)
            carried = head.get("carried") or {}
        return load(payload, found.task, current.allow, pickles=current.payload != "json"), carried

    def _run(self, found: BroadcastRun, call: Call, carried: Mapping[str, Any]) -> Any:
        """Call it, and await what it returns, within its timeout."""
        if installed.tracing is None:
            return self._call(found, call)
        with installed.tracing.broadcast(carried, found.target, found.task, found.broadcast_id):
            return self._call(found, call)

    def _call(self, found: BroadcastRun, call: Call) -> Any:
        if found.timeout is None:
            result = run(call)
            return self._loop.run(result, None) if must_be_awaited(result) else result
        deadline = time.monotonic() + found.timeout
        watched = cast("ClaimedJob", found)  # the watchdog only passes it to `_on_stuck`
        alarm = Alarm(watched, threading.get_ident())
        try:
            self._watchdog.watch(alarm, found.timeout)
            result = run(call)
        finally:
            alarm.end()
        if not must_be_awaited(result):
            return result
        alarm, left = Alarm(watched), max(0.0, deadline - time.monotonic())
        try:
            self._watchdog.watch(alarm, left)
            return self._loop.run(result, left)
        finally:
            alarm.end()

    def _on_stuck(self, watched: ClaimedJob) -> None:
        found = cast("BroadcastRun", watched)
        log.error(
            "broadcast %d, %s, did not stop after its timeout; this worker process finishes its jobs and is replaced",
            found.broadcast_id,
            found.task,
        )
        self.stuck = True


def _completed(found: BroadcastRun, call: Call, value: object) -> Answer:
    """Return what is kept of a value. Most functions return nothing, and what they did is done in any case."""
    options = options_of(call.callable)
    is_json = options.payload != "pickle"
    try:
        kept = encode(found.task, value, 0.0, as_json=is_json, orm_objects=options.orm_objects)
    except ResultError as error:
        return Answer("completed", one_line(str(error)))
    keys = settings().signing_keys
    signature = sign_answer(keys[0], found.id, is_json, kept.value) if keys else None
    return Answer("completed", None, None, is_json, signature, kept.value)
