"""A worker process as its supervisor sees it."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import time
from contextlib import ExitStack

from pgjobs.core.python_processes import python_command
from pgjobs.worker.config import STUCK_AFTER, WorkerConfig
from pgjobs.worker.runtime.control_channel import ControlChannel, Message
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.process_exit import (
    CrashReport,
    exit_reason,
    has_exited,
    kill_group,
    wait_for_end,
    wait_for_exit,
)
from pgjobs.worker.runtime.scoreboard import Scoreboard
from pgjobs.worker.supervisor.requests import Requests
from pgjobs.worker.supervisor.rescue import WorkerExit

log = logging.getLogger("pgjobs.supervisor")
IMPORTS_END_WITHIN = 2.0  # seconds
SLACK = 20.0  # seconds beyond the grace that a draining process may take to flush, before it is killed


class WorkerHandle:
    """One worker process: spawned, not forked, so that it shares nothing but what is passed to it."""

    def __init__(self, config: WorkerConfig) -> None:
        self.worker_id: int | None = None
        self.ended = 0
        self.retired = False
        self._stuck: dict[Claim, str] = {}
        self.left = False  # it announced its end
        self.unfit: str | None = None  # why it cannot work
        self.trouble: str | None = None  # why it cannot claim now
        self._killed_on_purpose = False
        self.did_not_end = False  # and so it was killed: in its grace, or because a job holds the interpreter
        self._kill_at: float | None = None  # monotonic seconds
        self._last_end: float | None = None  # the same, once it is registered
        self._started_at = time.monotonic()
        self._peak: int | None = None  # KiB
        with ExitStack() as unless_started:  # each of these may be the one for which no file is left
            self._scoreboard = Scoreboard(config.slots())
            unless_started.callback(self._scoreboard.close)
            self._crash_report = CrashReport()
            unless_started.callback(self._crash_report.close)
            ours, theirs = socket.socketpair()
            unless_started.callback(ours.close)
            # A channel of its own for cancel requests: another thread sends them at any time, and must never wait.
            self._requests, heard = socket.socketpair(type=socket.SOCK_DGRAM)
            unless_started.callback(self._requests.close)
            with theirs, heard:
                fds = [theirs.fileno(), heard.fileno(), self._scoreboard.fd, self._crash_report.fd]
                self._process = subprocess.Popen(
                    python_command("pgjobs.worker", *fds),
                    pass_fds=fds,
                    stdin=subprocess.DEVNULL,
                    process_group=0,  # Ctrl-C on a terminal is for the supervisor alone
                )
            unless_started.pop_all()
        self.pid = self._process.pid
        self.control = ControlChannel(ours)
        self.control.send("config", config=config.to_json())

    def receive(self) -> list[Message]:
        """Return its messages, and keep what they tell about itself."""
        messages = self.control.receive(0)
        for message in messages:
            match message["type"]:
                case "registered":
                    self.worker_id = message["worker_id"]
                    self._kill_at = self._last_end
                case "progress":
                    self.ended = message["ended"]
                case "stuck":
                    self._stuck[Claim(message["job_id"], message["claim_number"])] = message["error"]
                case "retiring":
                    self.retired = True
                case "unfit":
                    self.unfit = message["error"]
                case "claims":
                    self.trouble = message["trouble"]
                case "leaving":
                    self.left = True
        return messages

    @property
    def requests(self) -> Requests:
        """Where to pass on what is asked of its jobs."""
        return Requests(self._requests)

    def has_worked(self) -> bool:
        """Return True if it has started a job."""
        return bool(self._scoreboard.started())

    def read_counts(self) -> bytes | None:
        """Return what it counts for metrics; None: nothing yet."""
        return self._scoreboard.read_counts()

    def answers(self) -> bool:
        """Return True if it is registered and its main thread has turned a moment ago."""
        return self.worker_id is not None and self._scoreboard.silence() < STUCK_AFTER

    def age(self) -> float:
        """Return the seconds since it was started."""
        return time.monotonic() - self._started_at

    def drain(self, grace: float) -> None:
        """Ask it to drain; it is killed when it takes much longer than the grace allows.

        One that is still importing is ended soon: it does not listen yet, and has claimed nothing.
        """
        self.control.send("drain")
        self._kill_at = self._last_end = time.monotonic() + grace + SLACK
        if self.worker_id is None:
            self._process.terminate()
            self._kill_at = time.monotonic() + IMPORTS_END_WITHIN

    def kill(self) -> None:
        """End it at once."""
        self._killed_on_purpose = True
        self._process.send_signal(signal.SIGKILL)

    def kill_if_blocked(self) -> None:
        """Kill the process if a job holds the interpreter's lock past its timeout.

        The watchdog inside cannot do that, because it does not get to run either. Jobs without a timeout may hold it.
        """
        if self._killed_on_purpose or self._scoreboard.silence() < STUCK_AFTER:
            return
        for claim in self._scoreboard.overdue(STUCK_AFTER):
            self._stuck[claim] = "JobTimeout: ran too long and held the interpreter; its worker was killed"
        if self._stuck:
            log.error("worker process %d is blocked by a job past its timeout: it is killed and replaced", self.pid)
            self.did_not_end = True
            self.kill()

    def kill_if_overdue(self) -> bool:
        """Return True if the process is gone. Kill it if it has not ended by its deadline for draining."""
        if has_exited(self._process):
            return True
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            log.error("worker process %d did not end within its grace: it is killed", self.pid)
            self.did_not_end = True
            self.kill()
        return False

    def exit_reason(self) -> str | None:
        """Wait for its end, and return how it died; None if it was meant to end.

        What its jobs started ends too, before they are handed back and start it again.
        """
        wait_for_end(self._process)
        kill_group(self.pid)
        for group in self._scoreboard.groups():
            kill_group(group)
        self._peak = wait_for_exit(self._process)
        if self.left or self._killed_on_purpose:
            return None
        return exit_reason(self._process.returncode)

    def exit_record(self, how: str | None) -> WorkerExit:
        """Return what the rescue of its jobs needs to know."""
        assert self.worker_id is not None  # noqa: S101 (only a registered worker claims)
        started = frozenset(self._scoreboard.started())
        report = None if how is None else self._crash_report.report(self._peak)
        return WorkerExit(self.worker_id, how, started, self._stuck, report)

    def close(self) -> None:
        """Close what it shared."""
        self.control.close()
        self._requests.close()
        self._scoreboard.close()
        self._crash_report.close()
