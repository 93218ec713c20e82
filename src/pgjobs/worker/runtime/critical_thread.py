"""Threads that a worker process can not do without."""

from __future__ import annotations

import logging
import os
import threading

from pgjobs.worker.runtime.process_guard import FILES_CLOSED, intact

log = logging.getLogger("pgjobs.worker")
BROKEN = 70  # exit code: a mistake inside pgjobs (EX_SOFTWARE)


class CriticalThread(threading.Thread):
    """A thread whose unexpected end ends the process, so that its supervisor starts a sound one.

    A worker that lives on without its producer or its acknowledger would be silently deaf.
    """

    def run(self) -> None:
        """Do the work, or end the process."""
        try:
            self.work()
        except BaseException:
            log.critical(
                "%s broke: this worker process ends, and another one takes its place", self.name, exc_info=True
            )
            os._exit(BROKEN if intact() else FILES_CLOSED)

    def work(self) -> None:
        """Do what the thread is for."""
        raise NotImplementedError
