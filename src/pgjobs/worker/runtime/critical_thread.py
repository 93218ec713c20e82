"""Threads without which a worker process cannot work."""

from __future__ import annotations

import logging
import os
import threading

from pgjobs.worker.runtime.process_guard import FILES_CLOSED, intact

log = logging.getLogger("pgjobs.worker")
BROKEN = 70  # exit code: a mistake inside pgjobs (EX_SOFTWARE)


class CriticalThread(threading.Thread):
    """A thread whose unexpected end ends the process, so that its supervisor starts a new one.

    Without its producer or acknowledger a worker would stay alive and do nothing.
    """

    def run(self) -> None:
        """Do the work, or end the process."""
        try:
            self.work()
        except BaseException:
            log.critical(
                "%s failed: this worker process exits, and a new one takes its place", self.name, exc_info=True
            )
            os._exit(BROKEN if intact() else FILES_CLOSED)

    def work(self) -> None:
        """Do what the thread is for."""
        raise NotImplementedError
