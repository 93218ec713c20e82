"""A child process that runs jobs for an executor thread: for CPU-heavy work, and for jobs that may not end.

The child is started at first use and serves one job after another. When a job's time is up, or when it dies, the
whole process group is killed, so that nothing a job started is left behind. The scoreboard has the groups of all
children: if the worker is killed, its supervisor kills them.
"""

from __future__ import annotations

import errno
import os
import pickle
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pgjobs.core.config import settings
from pgjobs.core.errors import PayloadError
from pgjobs.core.interrupts import JobTimeout
from pgjobs.core.python_processes import python_command
from pgjobs.jobs.outcome import CANCELLED_ON_REQUEST, Outcome
from pgjobs.jobs.retry import after_loss
from pgjobs.worker.executors.batches import lost_batch
from pgjobs.worker.executors.invoke import check_signature, outcome_of, refused
from pgjobs.worker.executors.outcome_codec import MAX_OUTCOME_BYTES, from_bytes
from pgjobs.worker.executors.shortages import ShortageError
from pgjobs.worker.local.claimed_batch import ClaimedBatch, to_send
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.orderly_exit import LEAVE_WITHIN
from pgjobs.worker.runtime.process_exit import CrashReport, exit_reason, has_exited, kill_group, wait_for_exit
from pgjobs.worker.runtime.scoreboard import Scoreboard

LENGTH = struct.Struct("!I")
READY = b"ready"  # what a child sends first; or why it cannot run jobs
CHECK_EVERY = 0.5  # seconds: whether the child still lives


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return None


_HOME = _working_directory()  # a job in a thread may change the worker's, and remove it


class ChildProcess:
    """One child. `child_config` is sent to it when it starts: modules to import, log format, settings."""

    def __init__(self, child_config: dict[str, Any], scoreboard: Scoreboard) -> None:
        self._child_config = child_config
        self._scoreboard = scoreboard
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._crash_report: CrashReport | None = None
        self._last: str | None = None  # what the last one left behind
        self._job: ClaimedJob | None = None  # that it runs
        self._lock = threading.Lock()  # for that

    def run(self, job: ClaimedJob, begin: Callable[[], None]) -> Outcome:
        """Run the job in the child, and return its outcome, whatever happens to the child.

        `begin` is called when the job is about to start; before that a child may have to be started, which is slow.

        Raises:
            ShortageError: no child could be started, so the job has not begun.

        """
        self._job = job
        try:
            return self._run(job, begin)
        finally:
            with self._lock:  # a late `cancel` must not kill another job's process
                self._job = None

    def cancel(self, claim: Claim) -> bool:
        """Kill the child if it runs this job, from another thread; False: it does not."""
        with self._lock:
            job = self._job
            asked = None if job is None else job.find(claim)
            if asked is None:
                return False
            asked.cancelled = True
            self.abandon()
            return True

    def _run(self, job: ClaimedJob, begin: Callable[[], None]) -> Outcome:
        try:
            check_signature(job)
        except PayloadError as error:
            return refused(job, error)
        if_late = deadline = None
        try:
            channel = self._ready()
        except (OSError, EOFError) as error:
            how = self._kill()
            if job.cancelled:
                return CANCELLED_ON_REQUEST
            raise ShortageError(f"a child process cannot be started: {str(error) or how}") from error
        try:
            if job.cancelled:
                return CANCELLED_ON_REQUEST
            begin()
            send(channel, _question(job), self.is_alive)
            if job.timeout is not None:
                # Its time begins when the child has read the payload, and imported what that needs.
                if_late = receive(channel, None, self.is_alive, MAX_OUTCOME_BYTES * len(job.members))
                deadline = time.monotonic() + job.timeout
            size = (MAX_OUTCOME_BYTES + settings().result_max_bytes) * len(job.members)
            return from_bytes(receive(channel, deadline, self.is_alive, size), job)
        except TimeoutError:
            self._kill()
            outcome = _outcome_when_late(job, if_late)
            job.completing = True  # it may have called complete() before
            return outcome
        except (OSError, EOFError):
            how = self._kill()
            job.completing = True
            return self._lost(job, f"its process died: {how}")
        except ValueError as error:
            self._kill()
            return self._lost(job, f"its process sent an invalid answer: {error}")

    def _lost(self, job: ClaimedJob, error: str) -> Outcome:
        if isinstance(job, ClaimedBatch):
            return lost_batch(job, lambda one: self._lost(one, error), error)
        return after_loss(error, *job.budget(), isolate=bool(job.isolate), traceback=self._last)

    def close(self) -> None:
        """End the child, if there is one: in order, if it can do that in time."""
        if self._process is None:
            return
        self.ask_to_leave()
        deadline = time.monotonic() + LEAVE_WITHIN
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._kill()

    def ask_to_leave(self) -> None:
        """Have the child end in order, or at once if it runs a job. From any thread."""
        channel = self._socket
        if self._job is not None or channel is None:
            self.abandon()
            return
        with suppress(OSError):  # it is gone
            channel.shutdown(socket.SHUT_RDWR)  # closing is not enough: a process that it forked may have it too

    def is_alive(self) -> bool:
        """Return True if there is a child, and it has not ended. From any thread."""
        process = self._process
        return process is not None and not has_exited(process)

    def abandon(self) -> None:
        """Kill the child and all it started, from another thread; `run` then gets no answer."""
        process = self._process
        if process is not None and not has_exited(process):
            kill_group(process.pid)

    def _ready(self) -> socket.socket:
        if self._socket is not None and self.is_alive():
            return self._socket
        if self._process is not None:
            self._kill()
        self._crash_report = CrashReport()
        ours, theirs = socket.socketpair()
        self._socket = ours
        with theirs:
            fds = [theirs.fileno(), self._crash_report.fd]
            self._process = subprocess.Popen(
                python_command("pgjobs.worker.executors.child_main", *fds, os.getpid()),
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                process_group=0,
                cwd=_HOME,
            )
        self._scoreboard.add_group(self._process.pid)
        send(ours, pickle.dumps(self._child_config), self.is_alive)
        answer = receive(ours, None, self.is_alive)  # it has imported what it was told to: that is not the job's time
        if answer != READY:
            raise EOFError(answer.decode())
        return ours

    def _kill(self) -> str:
        """Kill the child and all it started, and return how it had died, or that it was killed."""
        process, self._process = self._process, None
        channel, self._socket = self._socket, None
        crash_report, self._crash_report = self._crash_report, None
        peak = None
        if channel is not None:
            channel.close()
        if process is None:
            if crash_report is not None:
                crash_report.close()
            return "it could not be started"
        deadline = time.monotonic() + 0.2
        while not (died := has_exited(process)) and time.monotonic() < deadline:
            time.sleep(0.002)  # it may be on its way out, with a status of its own
        kill_group(process.pid)
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)  # if it has left its group
        peak = wait_for_exit(process)
        self._scoreboard.remove_group(process.pid)
        if crash_report is not None:
            self._last = crash_report.report(peak)
            crash_report.close()
        return exit_reason(process.returncode) if died else "it lost its connection to the worker, and was killed"


def late(job: ClaimedJob) -> JobTimeout:
    """Return the error of a job that ran too long in a child process."""
    return JobTimeout(f"ran longer than its {job.timeout or 0:g} s, and was killed")


def _outcome_when_late(job: ClaimedJob, answer: bytes | None) -> Outcome:
    """Return the outcome that the child sent before it began, by the job's policy; else the default policy's."""
    try:
        return outcome_of(job, late(job)) if answer is None else from_bytes(answer, job)
    except ValueError:
        return outcome_of(job, late(job))


def _question(job: ClaimedJob) -> bytes:
    return pickle.dumps(to_send(job))


def send(channel: socket.socket, data: bytes, alive: Callable[[], bool] | None = None) -> None:
    """Send one message, however long the other side takes to read it. `alive` as in `receive`.

    Raises:
        OSError: the other side is gone.

    """
    rest = memoryview(LENGTH.pack(len(data)) + data)
    channel.settimeout(None if alive is None else CHECK_EVERY)  # `receive` has set another one
    while rest:
        try:
            rest = rest[channel.send(rest) :]
        except TimeoutError:
            if alive is not None and not alive():
                raise BrokenPipeError(errno.EPIPE, "the other side is gone") from None


def receive(
    channel: socket.socket,
    deadline: float | None = None,
    alive: Callable[[], bool] | None = None,
    most: int | None = None,
) -> bytes:
    """Receive one message of `most` bytes, until the deadline (monotonic seconds).

    `alive` returns whether the other side still lives. A closed connection does not tell, if a process that it forked
    has the connection too.

    Raises:
        TimeoutError: it did not come in time.
        EOFError: the other side is gone.
        ValueError: it is longer.

    """
    size: int = LENGTH.unpack(_receive(channel, LENGTH.size, deadline, alive))[0]
    if most is not None and size > most:
        raise ValueError(f"it has {size:,} bytes")
    return _receive(channel, size, deadline, alive)


def _receive(channel: socket.socket, size: int, deadline: float | None, alive: Callable[[], bool] | None) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        patience = left if alive is None else min(CHECK_EVERY, left or CHECK_EVERY)
        living = alive is None or alive()
        channel.settimeout(patience if living else 0.001)
        try:
            part = channel.recv(min(65536, size - len(parts)))
        except TimeoutError:
            if not living:
                raise EOFError from None
            continue
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
