"""How processes die, in words; and dying with one's parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def how_it_died(status: int) -> str:
    """Say it, from `Popen.returncode`: minus the signal's number, or the exit code."""
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
