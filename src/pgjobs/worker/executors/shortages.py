"""When the system has no files, processes, threads or memory left: a job that could not begin is given back.

That is a bad moment of this machine, and not the job's fault: the attempt does not count. The thread that holds the
job's slot waits before it gives the job back, so this worker asks for no more than it can start.
"""

from __future__ import annotations

import errno
import logging
import math
import time

from pgjobs.jobs.outcome import Snoozed

log = logging.getLogger("pgjobs.executor")
_ERRNOS = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)  # seconds, in a row of shortages
_ROW = 10.0  # seconds; shortages that are further apart have nothing to do with one another
_SAY_EVERY = 10.0  # seconds
NOT_YET = Snoozed(2.0, began=False)
"""The outcome of a job that could not begin where no thread may wait: in a child process, and on the event loop."""


class ShortageError(Exception):
    """Something that a job needs in order to begin could not be had: a process, a thread, a file."""


def is_shortage(error: BaseException | None) -> bool:
    """Return True if the system refused something that it may give a moment later."""
    if isinstance(error, RuntimeError):
        return "start new thread" in str(error)
    return isinstance(error, ShortageError) or (isinstance(error, OSError) and error.errno in _ERRNOS)


class Shortages:
    """The shortages of one worker process. Any thread may call it."""

    def __init__(self) -> None:
        self._since = self._last = -math.inf  # monotonic seconds: the first and the last one in a row
        self._number = 0  # in a row
        self._said = -math.inf  # monotonic seconds
        self.reason = ""  # of the last one

    def wait(self, error: BaseException) -> None:
        """Wait before a job is given back, longer each time."""
        now = time.monotonic()
        if now - self._last > _ROW:
            self._since, self._number = now, 0
        self.reason = str(error) or type(error).__name__
        if now - self._said >= _SAY_EVERY:
            self._said = now
            log.error("jobs cannot begin, and are handed back without a counted attempt: %s", self.reason)
        pause = _PAUSES[min(self._number, len(_PAUSES) - 1)]
        self._number += 1
        time.sleep(pause)
        self._last = time.monotonic()

    def seconds(self) -> float:
        """Return for how long there have been shortages, up to now; 0: no job lacks anything."""
        now = time.monotonic()
        return now - self._since if now - self._last <= _ROW else 0.0
