"""The supervisor's heart: a thread and a connection that beat for the workers and bury the dead.

It also does the rare work that any supervisor may do: rescue of others' jobs, days of history.

It is a process apart from the jobs, so that a job which holds the interpreter's lock is not taken for dead.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, Queue

from pgjobs.db.connect import connect
from pgjobs.db.statements import statement
from pgjobs.worker.link import Link, Stopped
from pgjobs.worker.registry import beat
from pgjobs.worker.rescue import Death, bury, rescue_orphans, rescue_unheard

log = logging.getLogger("pgjobs.heart")
HISTORY_EVERY = 3600.0  # seconds
HISTORY_DAYS = 3  # made ahead
ORPHANS_EVERY = 600.0  # seconds
LAST_WORDS = 10.0  # seconds that burials may take when the supervisor ends


class Heart(threading.Thread):
    """`alive()` gives the ids of the workers to beat for; `gone(id)` is called for one that was taken for dead."""

    def __init__(
        self,
        database_url: str,
        every: float,
        rescue_after: float,
        alive: Callable[[], list[int]],
        gone: Callable[[int], None],
    ) -> None:
        super().__init__(name="pgjobs-heart", daemon=True)
        self._every = every
        self._rescue_after = rescue_after
        self._alive = alive
        self._gone = gone
        # No SimpleQueue: when SIGSTOP and SIGCONT, or a suspended machine, carry its get() past the timeout, it waits
        # for ever (CPython 3.11 passes on a negative rest, which means no timeout).
        self._deaths: Queue[Death | None] = Queue()
        self._stopping = threading.Event()
        self._link = Link("heart", lambda: connect(database_url, application_name="pgjobs supervisor"), self._stopping)
        self._next_history = 0.0
        self._next_orphans = 0.0

    def died(self, death: Death) -> None:
        """Have a dead worker's jobs settled, as soon as possible."""
        self._deaths.put(death)

    def stop(self) -> None:
        """Bury who is left, and end."""
        self._stopping.set()
        self._deaths.put(None)

    def run(self) -> None:
        """Beat until told to stop. Nothing unexpected stops it: without beats, others would take our workers' jobs."""
        while True:
            try:
                self._beat_on()
                return
            except Exception:
                log.exception("the heart stumbled, and goes on")
                self._stopping.wait(1.0)

    def _beat_on(self) -> None:
        next_beat = time.monotonic()
        try:
            while True:
                try:
                    death = self._deaths.get(timeout=max(0.0, next_beat - time.monotonic()))
                except Empty:
                    pass
                else:
                    if death is None:
                        break
                    self._bury(death)
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + self._every
                    self._link.run(self._beat)
        except Stopped:
            log.error("PostgreSQL is away: others will take back what this supervisor's workers left")
        finally:
            self._link.close()

    def _bury(self, death: Death) -> None:
        self._link.run(lambda link: bury(link.connection, death), patience=LAST_WORDS)

    def _beat(self, link: Link) -> None:
        connection = link.connection
        mine = self._alive()
        for worker_id in set(mine) - beat(connection, mine):
            self._gone(worker_id)
        rescue_unheard(connection, self._rescue_after)
        now = time.monotonic()
        if now >= self._next_orphans:
            self._next_orphans = now + ORPHANS_EVERY
            rescue_orphans(connection)
        if now >= self._next_history:
            self._next_history = now + HISTORY_EVERY
            self._make_history(link)

    def _make_history(self, link: Link) -> None:
        """Make the days ahead. Without them the default partition takes the rows, so a failure is no emergency."""
        import psycopg

        try:
            with link.connection.transaction():
                link.connection.execute("SET LOCAL lock_timeout = '2s'")
                link.connection.execute(statement("make_history_partitions"), {"days": HISTORY_DAYS})
        except psycopg.errors.LockNotAvailable:
            log.info("the history partitions are locked; they are made later")
        except (psycopg.errors.CheckViolation, psycopg.errors.InsufficientPrivilege) as error:
            log.warning("a day of history can not be made, its rows go to jobs_history_default: %s", error)
