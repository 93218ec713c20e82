"""Jobs that wear their process out, and that crash it."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

from pgjobs import job

kept: list[bytes] = []


@job
def leak(megabytes: int) -> None:
    """Keep memory forever."""
    kept.append(b"x" * (megabytes * 1024 * 1024))


@job(executor="process", max_attempts=1)
def use(megabytes: int) -> int:
    """Use memory for a moment."""
    return len(b"x" * (megabytes * 1024 * 1024))


@job(max_attempts=1)
def read_what_is_not_there() -> None:
    """Crash."""
    ctypes.string_at(0)


@job(backoff=0)
def die_once(mark: str) -> None:
    """Kill the worker, the first time."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
