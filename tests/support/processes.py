"""Processes of this machine, as Linux shows them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Return the environment in which a child finds the package and the tests."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def wait_until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: it did not come true in time.

    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true after {seconds} s"
        time.sleep(0.02)


def find(*words: str) -> list[int]:
    """List the processes whose command line has all these arguments."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                arguments = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # gone meanwhile
            if all(word.encode() in arguments for word in words):
                found.append(int(process.name))
    return found


def parent(pid: int) -> int | None:
    """Return the parent of a process, None when the process is gone."""
    fields = _status(pid)
    return int(fields[1]) if fields else None


def children(pid: int) -> list[int]:
    """List the children of a process."""
    numbers = [int(process.name) for process in Path("/proc").iterdir() if process.name.isdecimal()]
    return [number for number in numbers if parent(number) == pid]


def is_zombie(pid: int) -> bool:
    """Return True if a process has ended and is not yet waited for."""
    return _status(pid)[:1] == ["Z"]


def is_alive(pid: int) -> bool:
    """Return True if a process runs; one that is dead and not yet waited for does not."""
    fields = _status(pid)
    return bool(fields) and fields[0] not in ("Z", "X")


def _status(pid: int) -> list[str]:
    """Read state, parent and so on of a process; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
