"""Processes and ports of the operating system, for the daemon."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pgjobs.core.processes import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of the processes that a killed server leaves behind, so that they can be ended. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> None:
    """Kill the children of this process. Without a server, they are left from a killed one."""
    if sys.platform != "linux":
        return
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
                os.waitpid(int(process.name), 0)
        except OSError:
            continue  # it has exited already


def dying_with_daemon(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a child runs before its program so that it is signalled when this daemon ends; None: not on Linux."""
    if sys.platform != "linux":
        return None
    return partial(die_with_parent, os.getpid(), number)


def clean_environment() -> dict[str, str]:
    """Return an environment without PG* variables, in the C locale."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TZ") if name in os.environ}
    return {**kept, "LC_ALL": "C"}


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have exited."""
    try:
        os.kill(pid, number)
    except OSError:
        return  # it has exited already


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Return True if the port is free at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
