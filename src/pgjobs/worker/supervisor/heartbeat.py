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

from pgjobs.db.connection import connect
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped
from pgjobs.worker.runtime.registration import heartbeat_timeout, send_heartbeat

log = logging.getLogger("pgjobs.heartbeat")


class HeartbeatThread(threading.Thread):
    """`alive()` gives the ids of the workers to beat for; `gone(id)` is called for one that was taken for dead."""

    def __init__(
        self,
        database_url: str,
        every: float,
        rescue_after: float,
        alive: Callable[[], list[int]],
        gone: Callable[[int], None],
    ) -> None:
        super().__init__(name="pgjobs-heartbeat", daemon=True)
        self._rescue_after = rescue_after
        # After a longer gap there was an outage, or this process stood still: others may have been silent too.
        self._gap = min(2 * every + 1.0, rescue_after)
        self._every = every
        self._alive = alive
        self._gone = gone
        self._stopping = threading.Event()
        # A beat that gets no answer is tried again on another connection, before the others lose patience.
        limit = heartbeat_timeout(rescue_after)
        self._link = ReconnectingConnection(
            "heartbeat",
            lambda: connect(database_url, application_name="pgjobs heartbeat", answer_within=limit),
            self._stopping,
            longest_pause=every,  # who comes back late from an outage is taken for dead
        )
        self._last = time.monotonic()
        self._steady_since = -math.inf  # since when it has beaten without a gap
        self._generation = 0  # of its connection

    def stop(self) -> None:
        """End it."""
        self._stopping.set()

    def is_steady(self) -> bool:
        """Say whether it has beaten for so long, up to now, that all others who live had the time to be heard.

        Else there is an outage, or was one a moment ago, and silence says nothing.
        """
        now = time.monotonic()
        return now - self._last <= self._gap and now - self._steady_since >= self._rescue_after

    def run(self) -> None:
        """Beat until told to stop. Nothing unexpected stops it: without beats, others would take our workers' jobs."""
        while not self._stopping.is_set():
            try:
                self._link.run(self._send_heartbeat)
            except Stopped:
                break
            except Exception:
                log.exception("a heartbeat failed; the next one is in %.1f s", self._every)
            self._stopping.wait(self._every)
        self._link.close()

    def _send_heartbeat(self, link: ReconnectingConnection) -> None:
        mine = self._alive()
        began = time.monotonic()
        heard = send_heartbeat(link.connection, mine)
        # After a gap, or on a new connection, there was an outage: others may have been silent too. After a failover
        # the server may even have forgotten beats that it had answered.
        again, self._generation = 0 < self._generation < link.generation, link.generation
        if again or time.monotonic() - self._last > self._gap:
            self._steady_since = time.monotonic()
        self._last = began
        for worker_id in set(mine) - heard:
            self._gone(worker_id)
