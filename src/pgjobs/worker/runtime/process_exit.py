"""How processes die, in words; what they leave behind; and dying with one's parent."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource  # noqa: F401 (os.wait4 loads it, and by then there may be no file left to open)
import signal
import subprocess
import sys
import tempfile
import time

from pgjobs.worker.runtime.process_guard import FILES_CLOSED

_PR_SET_PDEATHSIG = 1
_MAX_STACK = 8_000  # bytes


def exit_reason(status: int) -> str:
    """Say it, from `Popen.returncode`: minus the signal's number, or the exit code."""
    if status == FILES_CLOSED:
        return f"exit code {status}, because a job closed files that were not its own"
    if status >= 0:
        return f"exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"killed by {name}"


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone (Linux; elsewhere it ends with the connection)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before we asked
        os._exit(0)


class CrashReport:
    """A file in memory into which a process that crashes writes its last stack, and which outlives it."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self.fd = os.dup(file.fileno())

    def report(self, peak: int | None) -> str | None:
        """Give the most memory that the process had (`peak`, in KiB), and its last stack; None: neither is known."""
        text = os.pread(self.fd, _MAX_STACK, 0).decode("utf-8", "replace").replace("\0", "")
        stack, _, _ = text.partition("\n\nExtension modules:")
        known = [] if peak is None else [f"The process had {peak / 1024:,.0f} MB at most."]
        return "\n".join([*known, stack.strip()]).strip() or None

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


def write_crash_report_to(fd: int) -> None:
    """Have this process write its stack there when it crashes (by a signal that is not SIGKILL)."""
    os.set_inheritable(fd, False)
    faulthandler.enable(fd, all_threads=False)


def has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Say whether a child has ended; it is not waited for, so that `wait_for_exit` can still say what it used."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def wait_for_exit(process: subprocess.Popen[bytes], seconds: float | None = None) -> int | None:
    """Wait for a child's end, and give the most memory that it had, in KiB; None: it is not known.

    Raises:
        subprocess.TimeoutExpired: it did not end in time.

    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while process.returncode is None:
        try:
            pid, status, usage = os.wait4(process.pid, 0 if deadline is None else os.WNOHANG)
        except ChildProcessError:  # somebody else has waited for it
            process.wait()
            return None
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return int(usage.ru_maxrss) if sys.platform == "linux" else int(usage.ru_maxrss) // 1024
        if deadline is not None and time.monotonic() >= deadline:
            raise subprocess.TimeoutExpired(process.args, seconds or 0.0)
        time.sleep(0.002)
    return None
