"""File locks (flock). The kernel releases the locks of a process that dies."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAUSE = 0.01  # seconds between two tries; flock itself has no time limit


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """Open a lock file, without taking the lock. At the end of the block it is closed, which releases the lock.

    Child programs do not inherit it, as for any file that Python opens.

    Raises:
        OSError: the file cannot be opened.

    """
    fd = open_private(path)
    try:
        yield fd
    finally:
        os.close(fd)


def open_private(path: Path, flags: int = 0) -> int:
    """Open a file that only its owner can read. It is created if it does not exist."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600)
    if os.geteuid() == 0:  # root in the folder of another user, who must be able to use the file later
        owner = path.parent.stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def try_lock(fd: int, *, exclusive: bool) -> bool:
    """Take the lock if it is free, and return True; else return False."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(fd: int, *, exclusive: bool, seconds: float) -> bool:
    """Wait up to `seconds` for the lock. Return True if it was taken."""
    deadline = time.monotonic() + seconds
    while not try_lock(fd, exclusive=exclusive):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def is_held(path: Path) -> bool:
    """Return True if another process holds the lock exclusively."""
    with lock_file(path) as fd:
        return not try_lock(fd, exclusive=False)
