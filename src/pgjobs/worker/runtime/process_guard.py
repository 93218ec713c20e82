"""Whether the files of this process are still its own: a job may close any of them, knowingly or not.

Their numbers are then given to whatever is opened next, and the two read and write one another's data. Nothing in the
process can be relied on any more, so whoever notices ends it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

FILES_CLOSED = 174  # exit code; one that programs do not use
STANDARD = (0, 1, 2)
_own: dict[int, os.stat_result] = {}
_spares: dict[int, int] = {}  # copies of the standard files


def remember(*fds: int) -> None:
    """Remember what these files are, and the standard ones."""
    for fd in (*STANDARD, *fds):
        with suppress(OSError):  # a process may be started without the standard ones
            _own[fd] = os.fstat(fd)
            if fd in STANDARD:
                _spares[fd] = os.dup(fd)
                _own[_spares[fd]] = _own[fd]


def intact() -> bool:
    """Say whether what was remembered is still there. A standard file that was closed is opened again."""
    return all(_is_sound(fd, own) for fd, own in _own.items())


def _is_sound(fd: int, own: os.stat_result) -> bool:
    try:
        now = os.fstat(fd)
        if fd not in STANDARD:
            return os.path.samestat(now, own)
        # Jobs may redirect it, but hardly to a socket: that is a new connection of ours, and would be sent our logs.
        return stat.S_ISSOCK(own.st_mode) or not stat.S_ISSOCK(now.st_mode)
    except OSError:
        return fd in STANDARD and _reopen(fd, own)


def _reopen(fd: int, own: os.stat_result) -> bool:
    spare = _spares[fd]
    try:
        if not os.path.samestat(os.fstat(spare), own):
            return False
        os.dup2(spare, fd)
    except OSError:
        return False
    return True
