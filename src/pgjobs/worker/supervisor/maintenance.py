"""Settles workers that exited, and runs periodic maintenance.

Maintenance is the rescue of jobs whose supervisor is gone, retention, the minutes, and the rest of a `tasks resume`
that was interrupted. It also wakes the scheduler when there is a schedule, and looks whether the tables have become
those of another version: from then on it changes nothing but what the workers of this supervisor leave behind. Every
supervisor runs it at any time; no leader is needed.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from queue import Empty, Queue
from typing import TYPE_CHECKING

from pgjobs.db.connection import connect
from pgjobs.db.dependencies import BEGINNING, sweep_dependencies
from pgjobs.db.installation import connection_name
from pgjobs.db.parked import requeue_parked
from pgjobs.db.statements import statement
from pgjobs.db.workflow_ends import sweep_workflows
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped
from pgjobs.worker.supervisor.heartbeat import HeartbeatThread
from pgjobs.worker.supervisor.minutes import Minutes
from pgjobs.worker.supervisor.rescue import WorkerExit, rescue_orphans, rescue_silent_workers, settle_dead_worker
from pgjobs.worker.supervisor.retention import Retention
from pgjobs.worker.supervisor.revision_watch import RevisionWatch
from pgjobs.worker.supervisor.scheduler import Scheduler

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.db.deadline import DeadlineConnection

log = logging.getLogger("pgjobs.maintenance")
ORPHANS_EVERY = 600.0  # seconds
DEPENDENCIES_EVERY = 600.0  # seconds
DEPENDENCIES = 1000  # in one transaction
DEPENDENCIES_BUDGET = 1.0  # seconds that one look may take for them
WORKFLOWS_EVERY = 10.0  # seconds
WORKFLOWS_AGE = 60.0  # seconds since an unfinished workflow was looked at
WORKFLOWS = 20  # in one look
BROADCASTS_EVERY = 10.0  # seconds
PARKED_EVERY = 60.0  # seconds: a `tasks resume` may have been interrupted before all jobs were put back
SHUTDOWN_PATIENCE = 10.0  # seconds that settling workers may take when the supervisor ends
PING_WITHIN = 5.0  # seconds within which an idle connection has to answer
MAX_STATEMENT = 60  # seconds
STATEMENT_LIMITS = f"SET lock_timeout = '5s'; SET statement_timeout = '{MAX_STATEMENT}s'"


class MaintenanceThread(threading.Thread):
    """One thread and one connection. It looks for silent workers once a heartbeat."""

    def __init__(
        self,
        database_url: str,
        every: float,
        rescue_after: float,
        heartbeat_thread: HeartbeatThread,
        scheduler: Scheduler | None = None,
        revision: RevisionWatch | None = None,
        minutes: Minutes | None = None,
    ) -> None:
        super().__init__(name="pgjobs-maintenance", daemon=True)
        self._revision = revision or RevisionWatch()
        self._database_url = database_url
        self._every = every
        self._rescue_after = rescue_after
        self._heartbeat_thread = heartbeat_thread
        self._scheduler = scheduler
        # Not a SimpleQueue: when SIGSTOP and SIGCONT, or a suspended machine, carry its get() past the timeout, it
        # waits forever (CPython 3.11 passes on a negative remainder, which means no timeout).
        self._exits: Queue[WorkerExit | None] = Queue()
        self._stopping = threading.Event()
        self._server = ReconnectingConnection("maintenance", self._connect, self._stopping)
        self._generation = 0  # of its connection
        self._steady_since = -math.inf  # monotonic seconds
        # Silent workers: their last heartbeat, and since when they are known to be silent (monotonic seconds).
        self._silent: dict[int, tuple[datetime, float]] = {}
        self._next_orphans = 0.0
        self._next_parked = 0.0
        self._next_dependencies = 0.0
        self._next_workflows = 0.0
        self._next_broadcasts = 0.0
        self._swept = BEGINNING  # up to which dependency: the needed job, and the one that waits
        self._retention = Retention()
        self._minutes = minutes
        self.rescued = 0  # jobs of workers that were dead

    def _connect(self) -> DeadlineConnection:
        name = connection_name("maintenance")
        connection = connect(self._database_url, application_name=name, answer_within=PING_WITHIN)
        if not connection.pooled:
            connection.execute_all(STATEMENT_LIMITS)
        return connection

    def worker_exited(self, worker_exit: WorkerExit) -> None:
        """Have the jobs of a worker that exited settled, as soon as possible."""
        self._exits.put(worker_exit)

    def stop(self) -> None:
        """Settle the workers that are left, then end."""
        self._stopping.set()
        self._exits.put(None)

    def run(self) -> None:
        """Work until stopped. No error ends the thread."""
        while True:
            try:
                self._run_once()
                return
            except Exception:
                log.exception("maintenance failed; retrying in 1 s")
                self._stopping.wait(1.0)

    def _run_once(self) -> None:
        next_check = time.monotonic()
        try:
            while True:
                try:
                    worker_exit = self._exits.get(timeout=max(0.0, next_check - time.monotonic()))
                except Empty:
                    pass
                else:
                    if worker_exit is None:
                        break
                    self._reap(worker_exit)
                if time.monotonic() >= next_check:
                    next_check = time.monotonic() + self._every
                    self._server.run(self._look)
            if self._minutes is not None and self._minutes.has_news():
                self._server.run(self._write_rest, patience=SHUTDOWN_PATIENCE)
        except Stopped:
            log.error("PostgreSQL cannot be reached: other supervisors will take back the jobs of this one's workers")
        finally:
            self._server.close()

    def _reap(self, worker_exit: WorkerExit) -> None:
        self.rescued += self._server.run(
            lambda server: settle_dead_worker(self._answering(server), worker_exit), patience=SHUTDOWN_PATIENCE
        )

    @staticmethod
    def _answering(server: ReconnectingConnection) -> DeadlineConnection:
        """Return the connection after a quick test: statements here may take long, and would notice an outage late."""
        connection = server.connection
        connection.answer_within = PING_WITHIN
        connection.execute("")
        connection.answer_within = MAX_STATEMENT + 10.0
        return connection

    def _write_rest(self, server: ReconnectingConnection) -> None:
        """Write what was counted since the last minute, before the supervisor ends."""
        if self._minutes is not None and not self._revision.misfit:
            self._minutes.write_rest(self._answering(server))

    def _look(self, server: ReconnectingConnection) -> None:
        connection, now = self._answering(server), time.monotonic()
        if self._revision.look(connection):
            return
        self._look_for_schedules(connection)
        if 0 < self._generation < server.generation:
            self._steady_since = now
        self._generation = server.generation
        if self._silence_means_death():
            # Two heartbeats early: the last part of the silence is measured by our own clock, in `_choose_dead`.
            silent_after = self._rescue_after - 2 * self._every
            self.rescued += rescue_silent_workers(
                connection, self._rescue_after, silent_after=silent_after, choose=self._choose_dead
            )
        else:
            self._silent = {}
        if now >= self._next_orphans:
            self._next_orphans = now + ORPHANS_EVERY
            self.rescued += rescue_orphans(connection)
            _advance_ids(connection)
        if now >= self._next_parked:
            self._next_parked = now + PARKED_EVERY
            if count := requeue_parked(connection):
                log.warning("put back %d jobs of tasks that are no longer paused", count)
        if now >= self._next_dependencies:
            self._sweep_dependencies(connection)
        if now >= self._next_workflows:
            self._next_workflows = now + WORKFLOWS_EVERY
            sweep_workflows(connection, age=WORKFLOWS_AGE, batch=WORKFLOWS)
        if now >= self._next_broadcasts:
            self._next_broadcasts = now + BROADCASTS_EVERY
            connection.execute(statement("settle_broadcasts"))
        if self._minutes is not None:
            self._minutes.work(connection)
        self._retention.work(connection, interrupted=lambda: not self._exits.empty())

    def _sweep_dependencies(self, connection: DeadlineConnection) -> None:
        """Put right what workers of an earlier version left, for about a second; the next look continues."""
        began, left = time.monotonic(), 0
        while self._exits.empty() and time.monotonic() - began < DEPENDENCIES_BUDGET:
            swept, found = sweep_dependencies(connection, self._swept, DEPENDENCIES)
            left += found
            self._swept = swept or BEGINNING
            if swept is None:
                self._next_dependencies = time.monotonic() + DEPENDENCIES_EVERY
                break
        if left:
            log.warning("released what waited for %d jobs that a worker of another version had ended", left)

    def _look_for_schedules(self, connection: DeadlineConnection) -> None:
        """Wake the scheduler when there is a schedule, or events are declared by code that was here before.

        Until then it has no connection.
        """
        if self._scheduler is None or self._scheduler.needed:
            return
        names = ["any_schedule", *(["any_declared_events"] if self._scheduler.owes_declaration else [])]
        if any(connection.execute(statement(name)).fetchone() == (True,) for name in names):
            self._scheduler.wake()

    def _silence_means_death(self) -> bool:
        """Return False during an outage and for a while after it, when live workers are silent too.

        Our own workers are silent if this thread has reconnected and the heartbeat thread has not, so both are asked.
        """
        return self._heartbeat_thread.is_steady() and time.monotonic() - self._steady_since >= self._rescue_after

    def _choose_dead(self, silent: dict[int, datetime]) -> set[int]:
        """Return the workers without a heartbeat for two heartbeats since they were first found silent.

        When PostgreSQL's clock leaps, or a pooler releases what it held back, every worker looks silent until its next
        heartbeat.
        """
        now, before = time.monotonic(), self._silent
        self._silent = {
            worker: before[worker] if worker in before and before[worker][0] == heard else (heard, now)
            for worker, heard in silent.items()
        }
        return {worker for worker, (_, since) in self._silent.items() if now - since >= 2 * self._every}


def _advance_ids(connection: DeadlineConnection) -> None:
    """Look whether ids would be given out again, as after a move that leaves the sequence behind."""
    row = connection.execute(statement("advance_ids")).fetchone()
    if row is not None and row[0] is not None:
        log.warning(
            "the sequence of ids was behind the jobs, the largest of which is %d: it continues after that. Jobs since "
            "the restore or move may have the ids of older ones",
            row[0],
        )
