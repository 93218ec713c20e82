"""File locks (flock): the kernel takes them back from a process that dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAUSE = 0.01  # seconds between two tries; flock itself can not wait for a limited time


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """Open a lock file, which takes no lock yet. Closing it gives the lock up.

    Programs that are started do not inherit it (Python opens files that way).

    Raises:
        OSError: it can not be opened.

    """
    fd = open_private(path)
    try:
        yield fd
    finally:
        os.close(fd)


def open_private(path: Path, flags: int = 0) -> int:
    """Open a file that only its owner can read, and make it if it is not there."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600)
    if os.geteuid() == 0:  # root in a folder of somebody else's: who owns the folder must be able to use it later
        owner = path.parent.stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def try_lock(fd: int, *, exclusive: bool) -> bool:
    """Take the lock if nobody stands in the way."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(fd: int, *, exclusive: bool, seconds: float) -> bool:
    """Take the lock within so many seconds."""
    deadline = time.monotonic() + seconds
    while not try_lock(fd, exclusive=exclusive):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def is_held(path: Path) -> bool:
    """Say whether somebody holds the lock exclusively."""
    with lock_file(path) as fd:
        return not try_lock(fd, exclusive=False)
