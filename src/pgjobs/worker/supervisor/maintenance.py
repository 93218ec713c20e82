"""The supervisor's caretaker: buries its dead workers, and does the rare work that any supervisor may do.

That is the rescue of jobs whose supervisor is gone, retention, and what a `tasks resume` has left that was broken off.
There is no leader: all of it is safe for everybody to try at once.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from queue import Empty, Queue
from typing import TYPE_CHECKING

from pgjobs.db.connection import behind_pooler, connect
from pgjobs.db.statements import statement
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped
from pgjobs.worker.supervisor.heartbeat import HeartbeatThread
from pgjobs.worker.supervisor.rescue import WorkerExit, rescue_orphans, rescue_silent_workers, settle_dead_worker
from pgjobs.worker.supervisor.retention import Retention
from pgjobs.worker.supervisor.scheduler import Scheduler

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.db.deadline import DeadlineConnection

log = logging.getLogger("pgjobs.maintenance")
ORPHANS_EVERY = 600.0  # seconds
PARKED_EVERY = 60.0  # seconds: whoever resumed a task may have been cut off before all of its jobs were back
SHUTDOWN_PATIENCE = 10.0  # seconds that burials may take when the supervisor ends
PING_WITHIN = 5.0  # seconds for an answer from a connection that lay idle
MAX_STATEMENT = 60  # seconds
STATEMENT_LIMITS = f"SET lock_timeout = '5s'; SET statement_timeout = '{MAX_STATEMENT}s'"


class MaintenanceThread(threading.Thread):
    """One thread and one connection. It looks for silent workers as often as the heart beats."""

    def __init__(
        self,
        database_url: str,
        every: float,
        rescue_after: float,
        heartbeat_thread: HeartbeatThread,
        scheduler: Scheduler | None = None,
    ) -> None:
        super().__init__(name="pgjobs-maintenance", daemon=True)
        self._database_url = database_url
        self._every = every
        self._rescue_after = rescue_after
        self._heartbeat_thread = heartbeat_thread
        self._scheduler = scheduler
        # No SimpleQueue: when SIGSTOP and SIGCONT, or a suspended machine, carry its get() past the timeout, it waits
        # for ever (CPython 3.11 passes on a negative rest, which means no timeout).
        self._deaths: Queue[WorkerExit | None] = Queue()
        self._stopping = threading.Event()
        self._link = ReconnectingConnection("maintenance", self._connect, self._stopping)
        self._generation = 0  # of its connection
        self._steady_since = -math.inf  # monotonic seconds
        # Of silent workers: when they were heard last, and since when they are known to be silent (monotonic seconds).
        self._suspects: dict[int, tuple[datetime, float]] = {}
        self._next_orphans = 0.0
        self._next_parked = 0.0
        self._retention = Retention()

    def _connect(self) -> DeadlineConnection:
        connection = connect(self._database_url, application_name="pgjobs maintenance", answer_within=PING_WITHIN)
        if not behind_pooler(connection):
            connection.execute(STATEMENT_LIMITS)
        return connection

    def worker_exited(self, death: WorkerExit) -> None:
        """Have a dead worker's jobs settled, as soon as possible."""
        self._deaths.put(death)

    def stop(self) -> None:
        """Bury who is left, and end."""
        self._stopping.set()
        self._deaths.put(None)

    def run(self) -> None:
        """Take care until told to stop; nothing unexpected stops it."""
        while True:
            try:
                self._run_once()
                return
            except Exception:
                log.exception("maintenance failed; the next round is in %.1f s", self._every)
                self._stopping.wait(1.0)

    def _run_once(self) -> None:
        next_check = time.monotonic()
        try:
            while True:
                try:
                    death = self._deaths.get(timeout=max(0.0, next_check - time.monotonic()))
                except Empty:
                    pass
                else:
                    if death is None:
                        break
                    self._reap(death)
                if time.monotonic() >= next_check:
                    next_check = time.monotonic() + self._every
                    self._link.run(self._look)
        except Stopped:
            log.error("PostgreSQL is away: others will take back what this supervisor's workers left")
        finally:
            self._link.close()

    def _reap(self, death: WorkerExit) -> None:
        self._link.run(lambda link: settle_dead_worker(self._answering(link), death), patience=SHUTDOWN_PATIENCE)

    @staticmethod
    def _answering(link: ReconnectingConnection) -> DeadlineConnection:
        """Give the connection, if it answers: the statements here may take long, so they would find that out late."""
        connection = link.connection
        connection.answer_within = PING_WITHIN
        connection.execute("")
        connection.answer_within = MAX_STATEMENT + 10.0
        return connection

    def _look(self, link: ReconnectingConnection) -> None:
        connection, now = self._answering(link), time.monotonic()
        self._look_for_schedules(connection)
        if 0 < self._generation < link.generation:
            self._steady_since = now
        self._generation = link.generation
        if self._may_judge():
            # Two beats sooner than they are dead, because that much of the silence is measured by our own clock.
            suspect_after = self._rescue_after - 2 * self._every
            rescue_silent_workers(connection, self._rescue_after, suspect_after=suspect_after, choose=self._dead)
        else:
            self._suspects = {}
        if now >= self._next_orphans:
            self._next_orphans = now + ORPHANS_EVERY
            rescue_orphans(connection)
        if now >= self._next_parked:
            # Not before: it loads psycopg, and worker processes are started sooner without.
            from pgjobs.db.doorbell import requeue_parked

            self._next_parked = now + PARKED_EVERY
            if count := requeue_parked(connection):
                log.warning("put back %d jobs of tasks that are not paused any more", count)
        self._retention.work(connection, interrupted=lambda: not self._deaths.empty())

    def _look_for_schedules(self, connection: DeadlineConnection) -> None:
        """Wake the scheduler when there is something to do; until then it has no connection."""
        if self._scheduler is None or self._scheduler.needed:
            return
        if connection.execute(statement("any_schedule")).fetchone() == (True,):
            self._scheduler.wake()

    def _may_judge(self) -> bool:
        """Say whether who is silent is dead: during an outage, and for a while after it, everybody is silent.

        Our own workers too, while this thread is connected again and the heart is not yet; so both have to be.
        """
        return self._heartbeat_thread.is_steady() and time.monotonic() - self._steady_since >= self._rescue_after

    def _dead(self, silent: dict[int, datetime]) -> set[int]:
        """Choose those that have not been heard for two beats since they were first found silent.

        When PostgreSQL's clock leaps, or a pooler lets go of what it held back, everybody has been silent for as long
        as that, until the next beat.
        """
        now, before = time.monotonic(), self._suspects
        self._suspects = {
            worker: before[worker] if worker in before and before[worker][0] == heard else (heard, now)
            for worker, heard in silent.items()
        }
        return {worker for worker, (_, since) in self._suspects.items() if now - since >= 2 * self._every}
