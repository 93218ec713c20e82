"""How processes end: the reason in words, their last stack and memory, and waiting for them."""

from __future__ import annotations

import faulthandler
import os
import resource  # noqa: F401 (os.wait4 loads it, and by then there may be no file left to open)
import signal
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress

from pgjobs.core.unnamed_file import unnamed_file
from pgjobs.worker.runtime.process_guard import FILES_CLOSED

_MAX_STACK = 8_000  # bytes


def exit_reason(status: int) -> str:
    """Describe a `Popen.returncode`: minus the number of a signal, or an exit code."""
    if status == FILES_CLOSED:
        return f"exit code {status}, because a job closed files that were not its own"
    if status >= 0:
        return f"exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"killed by {name}"


class CrashReport:
    """A file into which a crashing process writes its last stack. It outlives the process."""

    def __init__(self) -> None:
        self.fd = unnamed_file()

    def report(self, peak: int | None) -> str | None:
        """Return the process's peak memory (`peak`, in KiB) and its last stack as text; None if neither is known."""
        text = os.pread(self.fd, _MAX_STACK, 0).decode("utf-8", "replace").replace("\0", "")
        stack, _, _ = text.partition("\n\nExtension modules:")
        known = [] if peak is None else [f"The process had {peak / 1024:,.0f} MB at most."]
        return "\n".join([*known, stack.strip()]).strip() or None

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


def write_crash_report_to(fd: int) -> None:
    """Have this process write its stack to `fd` when it crashes, by any signal but SIGKILL."""
    os.set_inheritable(fd, False)
    faulthandler.enable(fd, all_threads=False)
    os.register_at_fork(after_in_child=faulthandler.disable)  # the crash of a child that a job forks is not this one's


def has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Return True if a child has ended. It is not reaped, so `wait_for_exit` can still report its memory."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def kill_group(leader: int) -> None:
    """Kill a process with all that it started, except what has made a process group of its own.

    Call it before the process is waited for: until then its number cannot be given to another one.
    """
    with suppress(ProcessLookupError, PermissionError):  # the second one: macOS, if only zombies are left
        os.killpg(leader, signal.SIGKILL)


def wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a child has ended. It is not reaped."""
    with suppress(ChildProcessError):
        if process.returncode is None:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def wait_for_exit(process: subprocess.Popen[bytes]) -> int | None:
    """Wait for a child's end, and return its peak memory in KiB; None if it is not known."""
    if process.returncode is not None:
        return None
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except ChildProcessError:  # other code has waited for it
        process.wait()
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return int(usage.ru_maxrss) if sys.platform == "linux" else int(usage.ru_maxrss) // 1024


def reap_orphans(own: Collection[int]) -> None:
    """Wait for children that have ended, up to the first one in `own`, which other code waits for.

    Process 1 of a container inherits what its programs leave behind; no other process waits for those.
    """
    with suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in own:
            os.waitpid(ended.si_pid, os.WNOHANG)
