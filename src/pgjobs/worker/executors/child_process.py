"""A child process that runs jobs for an executor thread: for CPU-heavy work, and for jobs that may not end.

The child is started at first use and serves one job after another. When a job's time is up, or when it dies, the
whole process group is killed, so that nothing a job started is left behind.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from pgjobs.core.errors import PayloadError
from pgjobs.core.interrupts import JobTimeout
from pgjobs.jobs.outcome import CANCELLED_ON_REQUEST, Outcome
from pgjobs.jobs.retry import after_loss
from pgjobs.worker.executors.invoke import check_signature, outcome_of, refused
from pgjobs.worker.executors.outcome_codec import MAX_OUTCOME_BYTES, from_bytes
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.process_exit import CrashReport, exit_reason, has_exited, wait_for_exit

LENGTH = struct.Struct("!I")
CHECK_EVERY = 0.5  # seconds: whether the child still lives
# What a child is told of a job.
_FIELDS = [field.name for field in fields(ClaimedJob) if field.name not in ("local_queue", "exception")]


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return None


_HOME = _working_directory()  # a job in a thread may change the worker's, and remove it


class ChildProcess:
    """One child. `child_config` is sent to it when it starts: modules to import, log format, settings."""

    def __init__(self, child_config: dict[str, Any]) -> None:
        self._child_config = child_config
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._crash_report: CrashReport | None = None
        self._last: str | None = None  # what the last one left behind
        self._job: ClaimedJob | None = None  # that it runs
        self._lock = threading.Lock()  # for that

    def run(self, job: ClaimedJob, begin: Callable[[], None]) -> Outcome:
        """Run the job in the child, and return its outcome, whatever happens to the child.

        `begin` is called when the job is about to start; before that a child may have to be started, which is slow.
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
            if job is None or job.key() != claim:
                return False
            job.cancelled = True
            self.abandon()
            return True

    def _run(self, job: ClaimedJob, begin: Callable[[], None]) -> Outcome:
        try:
            check_signature(job)
        except PayloadError as error:
            return refused(job, error)
        attempt, most = job.budget()
        if_late = None
        try:
            channel = self._ready()
            if job.cancelled:
                return CANCELLED_ON_REQUEST
            begin()
            deadline = None if job.timeout is None else time.monotonic() + job.timeout
            send(channel, _question(job))
            if job.timeout is not None:
                if_late = receive(channel, deadline, self._alive, MAX_OUTCOME_BYTES)
            return from_bytes(receive(channel, deadline, self._alive, MAX_OUTCOME_BYTES))
        except TimeoutError:
            self._kill()
            return _outcome_when_late(job, if_late)
        except (OSError, EOFError):
            how = self._kill()
            return after_loss(
                f"its process died: {how}", attempt, most, isolate=bool(job.isolate), traceback=self._last
            )
        except ValueError as error:
            self._kill()
            return after_loss(f"its process sent an invalid answer: {error}", attempt, most)

    def close(self) -> None:
        """End the child, if there is one."""
        if self._process is not None:
            self._kill()

    def abandon(self) -> None:
        """Kill the child and all it started, from another thread; `run` then gets no answer."""
        process = self._process
        if process is not None and not has_exited(process):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _alive(self) -> bool:
        return self._process is not None and not has_exited(self._process)

    def _ready(self) -> socket.socket:
        if self._socket is not None and self._alive():
            return self._socket
        if self._process is not None:
            self._kill()
        ours, theirs = socket.socketpair()
        self._crash_report = CrashReport()
        fds = [theirs.fileno(), self._crash_report.fd]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pgjobs.worker.executors.child_main", *map(str, (*fds, os.getpid()))],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                process_group=0,
                cwd=_HOME,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        send(ours, pickle.dumps(self._child_config))
        receive(ours, None, self._alive)  # it has imported what it was told to: that is not the job's time
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
        status: int | None = None
        with suppress(subprocess.TimeoutExpired):  # it may be on its way out, with a status of its own
            peak = wait_for_exit(process, 0.2)
            status = process.returncode
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()
        if crash_report is not None:
            self._last = crash_report.report(peak)
            crash_report.close()
        return exit_reason(status) if status is not None else "it lost its connection to the worker, and was killed"


def late(job: ClaimedJob) -> JobTimeout:
    """Return the error of a job that ran too long in a child process."""
    return JobTimeout(f"ran longer than its {job.timeout or 0:g} s, and was killed")


def _outcome_when_late(job: ClaimedJob, answer: bytes | None) -> Outcome:
    """Return the outcome that the child sent before it began, by the job's policy; else the default policy's."""
    try:
        return outcome_of(job, late(job)) if answer is None else from_bytes(answer)
    except ValueError:
        return outcome_of(job, late(job))


def _question(job: ClaimedJob) -> bytes:
    return pickle.dumps({name: getattr(job, name) for name in _FIELDS})


def send(channel: socket.socket, data: bytes) -> None:
    """Send one message."""
    channel.sendall(LENGTH.pack(len(data)) + data)


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
