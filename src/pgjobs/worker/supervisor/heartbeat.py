"""Sends the heartbeats of a supervisor's workers, from a thread and a connection that do nothing else.

Nothing slow may run between two heartbeats: a worker that is silent is considered dead. The thread is in the
supervisor's process, so a job that holds the interpreter's lock cannot stop it.

When a heartbeat is not sent or has no effect:

- PostgreSQL cannot be reached: the heartbeat is retried until the supervisor stops. Until heartbeats have been steady
  for a while (`is_steady`), maintenance considers no worker dead.
- A worker's row is gone, because another supervisor considered the worker dead: `gone(id)` is called
  (`Supervisor._gone`), which kills the process. Its jobs run elsewhere by then.
- The supervisor itself is gone: each worker process sends its own heartbeat (`OwnHeartbeat` in
  `runtime/registration.py`) while it finishes its jobs.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from pgjobs.db.connection import connect
from pgjobs.db.installation import connection_name
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped
from pgjobs.worker.runtime.registration import heartbeat_answer_within, send_heartbeat

log = logging.getLogger("pgjobs.heartbeat")


class HeartbeatThread(threading.Thread):
    """`alive()` returns the ids of the workers; `gone(id)` is called for a worker that others considered dead.

    `broadcast(ids)` is called for those that have a broadcast to run, which is all that tells them behind a pooler.
    """

    def __init__(
        self,
        database_url: str,
        every: float,
        rescue_after: float,
        alive: Callable[[], list[int]],
        gone: Callable[[int], None],
        broadcast: Callable[[set[int]], None] = lambda workers: None,
    ) -> None:
        super().__init__(name="pgjobs-heartbeat", daemon=True)
        self._rescue_after = rescue_after
        # A longer gap means an outage, or that this process stood still: other supervisors may have been silent too.
        self._gap = min(2 * every + 1.0, rescue_after)
        self._every = every
        self._alive = alive
        self._gone = gone
        self._broadcast = broadcast
        self._stopping = threading.Event()
        # A heartbeat without an answer is sent again on a new connection, before others consider the workers dead.
        limit = heartbeat_answer_within(rescue_after)
        self._server = ReconnectingConnection(
            "heartbeat",
            lambda: connect(database_url, application_name=connection_name("heartbeat"), answer_within=limit),
            self._stopping,
            longest_pause=every,  # a worker that reconnects late is considered dead
        )
        self._last = time.monotonic()
        self._steady_since = -math.inf  # since when heartbeats were sent without a gap
        self._generation = 0  # of its connection

    def stop(self) -> None:
        """Have the thread end."""
        self._stopping.set()

    def is_steady(self) -> bool:
        """Return True if heartbeats were sent without a gap for `rescue_after` seconds, up to now.

        Every live worker had time to be heard then. Otherwise there is or was an outage, and silence proves nothing.
        """
        now = time.monotonic()
        return now - self._last <= self._gap and now - self._steady_since >= self._rescue_after

    def outage(self) -> str | None:
        """Return why heartbeats are not answered; None: they are."""
        silent = time.monotonic() - self._last
        return self._server.trouble or (f"no answer for {silent:.0f} s" if silent > self._gap else None)

    def run(self) -> None:
        """Send heartbeats until stopped. No error ends the thread: others would take over our jobs."""
        while not self._stopping.is_set():
            try:
                self._server.run(self._send_heartbeat)
            except Stopped:
                break
            except Exception:
                log.exception("heartbeat failed; retrying in %.1f s", self._every)
            self._stopping.wait(self._every)
        self._server.close()

    def _send_heartbeat(self, server: ReconnectingConnection) -> None:
        mine = self._alive()
        began = time.monotonic()
        heard = send_heartbeat(server.connection, mine)
        # A gap or a new connection means an outage: others may have been silent too. After a failover the server may
        # even have lost heartbeats that it had answered.
        again, self._generation = 0 < self._generation < server.generation, server.generation
        if again or time.monotonic() - self._last > self._gap:
            self._steady_since = time.monotonic()
        self._last = began
        for worker_id in set(mine) - heard.keys():
            self._gone(worker_id)
        if awaiting := {worker_id for worker_id, awaits in heard.items() if awaits}:
            self._broadcast(awaiting)
