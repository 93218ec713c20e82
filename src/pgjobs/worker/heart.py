"""The supervisor's heart: a thread and a connection that beat for the workers, and do nothing else.

Nothing that takes long may ever stand between two beats: a worker that is not heard from is taken for dead. And it is
a process apart from the jobs, so that a job which holds the interpreter's lock does not stop it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from pgjobs.db.connect import connect
from pgjobs.worker.link import Link, Stopped
from pgjobs.worker.registry import beat

log = logging.getLogger("pgjobs.heart")


class Heart(threading.Thread):
    """`alive()` gives the ids of the workers to beat for; `gone(id)` is called for one that was taken for dead."""

    def __init__(
        self, database_url: str, every: float, alive: Callable[[], list[int]], gone: Callable[[int], None]
    ) -> None:
        super().__init__(name="pgjobs-heart", daemon=True)
        self._every = every
        self._alive = alive
        self._gone = gone
        self._stopping = threading.Event()
        self._link = Link("heart", lambda: connect(database_url, application_name="pgjobs heart"), self._stopping)
        self._last = time.monotonic()
        self.steady_since = -math.inf
        """Since when it has beaten without a break; monotonic seconds."""

    def stop(self) -> None:
        """End it."""
        self._stopping.set()

    def run(self) -> None:
        """Beat until told to stop. Nothing unexpected stops it: without beats, others would take our workers' jobs."""
        while not self._stopping.is_set():
            try:
                self._link.run(self._beat)
            except Stopped:
                break
            except Exception:
                log.exception("the heart stumbled, and goes on")
            self._stopping.wait(self._every)
        self._link.close()

    def _beat(self, link: Link) -> None:
        mine = self._alive()
        heard = beat(link.connection, mine)
        now = time.monotonic()
        if now - self._last > 2 * self._every + 1.0:
            self.steady_since = now  # there was an outage, or this process stood still: others may have been silent too
        self._last = now
        for worker_id in set(mine) - heard:
            self._gone(worker_id)
