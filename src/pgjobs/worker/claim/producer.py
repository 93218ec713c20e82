"""The producer of one queue: claims what its local queue has room for, and decides when to look again.

It looks at once while there is work, after milliseconds when there was some a moment ago, and on the doorbell (LISTEN)
when the queue has been empty for a while, with a slow poll as the net. Its states are listed in `producer_signals`.
"""

from __future__ import annotations

import logging
import math
import select
import threading
import time
from typing import Any

from pgjobs.core.text import one_line
from pgjobs.db.statements import doorbell_channel, statement
from pgjobs.db.workflow_ends import end_workflows_later
from pgjobs.jobs.outcome import RELEASED
from pgjobs.worker.claim.claim_size import ClaimSize
from pgjobs.worker.claim.claimer import Claimer
from pgjobs.worker.local.demand import ARMED_SECONDS, MAX_POLL, STALE_INBOX, STALL, wait_after
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.local.producer_signals import Freed, LookAhead, LostClaims, Rescan
from pgjobs.worker.runtime.critical_thread import CriticalThread
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped
from pgjobs.worker.runtime.registration import claim_role, terminate_backends
from pgjobs.worker.runtime.settle import settle

log = logging.getLogger("pgjobs.producer")
SLOW_JOBS = 20  # jobs that have to run, after the inbox stood still, before the measured mean counts again


class Producer(CriticalThread):
    """One thread and one connection for one queue. Setting `stop` and waking the signals ends it.

    It ends by itself, and sets `failed_over`, when another server has taken over from the one it knew.
    """

    def __init__(
        self,
        local_queue: LocalQueue,
        outbox: Outbox,
        server: ReconnectingConnection,
        worker_id: int,
        stop: threading.Event,
        failed_over: threading.Event,
    ) -> None:
        super().__init__(name=f"pgjobs-producer-{local_queue.name}", daemon=True)
        self._local_queue = local_queue
        self._outbox = outbox
        self._server = server
        self._worker_id = worker_id
        self._stop_asked = stop
        self._failed_over = failed_over
        self._timeline: str | None = None  # None: not known
        self._claimer = Claimer(local_queue, outbox, worker_id)
        self._head: Claim | None = None  # the job that was first in the inbox, and since when (monotonic)
        self._head_since = 0.0
        self._check_surplus_at = 0.0  # monotonic seconds
        self._claim_size = ClaimSize()
        self._claimed = 0  # jobs of the last claim
        self._misses = 0
        self._generation = 0
        self._doorbell = False
        self._rung = False  # since the last claim began, or while it was under way
        self._look_ahead_wanted = False
        self._due_at = math.inf  # when the next job is due, as far as is known; monotonic seconds
        self._armed_until = 0.0

    def work(self) -> None:
        """Claim until told to stop, then hand back what has not started."""
        try:
            while not self._stop_asked.is_set():
                self._hand_back_stale_jobs()
                self._receive_signals()
                wanted = self._local_queue.demand()
                if not wanted:
                    self._wait_for_demand()
                    continue
                rung, self._rung = self._rung, False  # if it rings from now on, the claim may not have seen what for
                full = self._server.run(lambda server, wanted=wanted, rung=rung: self._claim(server, wanted, rung))  # type: ignore[misc]
                if rung:
                    self._look_ahead_wanted = True  # it may have rung for something that is due in a moment
                if full:
                    self._misses = 0
                    continue
                # Of several that commit at about the same time one rings: there may be more in a moment.
                self._misses = 1 if self._claimed or rung else self._misses + 1
                self._server.run(self._wait_for_work)
        except Stopped:
            pass
        finally:
            self._hand_back()
            self._server.close()

    @property
    def trouble(self) -> str | None:
        """Why it cannot claim now; None: it can."""
        return self._server.trouble

    def _receive_signals(self) -> None:
        for event in self._local_queue.signals.receive():
            match event:
                case Freed():
                    self._claimer.lanes.wake_now(event.lanes)
                case Rescan():
                    self._claimer.cursor.look_everywhere()
                    self._claimer.lanes.wake_now(check_queue=True)
                case LostClaims():
                    self._server.run(self._hand_back_lost)
                case LookAhead():
                    self._look_ahead_wanted = True

    def _claim(self, server: ReconnectingConnection, wanted: int, rung: bool) -> bool:
        """Claim what is wanted, or as much of it as comes over in time; return True if there may be more."""
        import psycopg

        self._get_ready(server)
        asked, began = self._claim_size.of(wanted), time.monotonic()
        try:
            self._claimed = self._claimer.claim(server, asked, rung=rung)
        except psycopg.Error:
            self._claim_size.failed(asked, time.monotonic() - began)
            raise
        seconds = time.monotonic() - began
        self._claim_size.came(self._claimed, seconds)
        if self._local_queue.counts is not None:
            self._local_queue.counts.claimed(self._local_queue.name, seconds)
        self._local_queue.claim_stats.spare = self._claimed < asked
        return self._claimed >= asked

    def _get_ready(self, server: ReconnectingConnection) -> None:
        """After a (re)connect: listen, and hand back what an unanswered claim may have claimed."""
        connection = server.connection
        if server.generation == self._generation:
            return
        reconnected = self._generation > 0
        self._check_timeline(connection)
        self._generation, self._armed_until = server.generation, 0.0
        self._claimer.reconnected()
        if reconnected:
            terminate_backends(connection, [self._worker_id], claim_role(self._local_queue.name, prefix=True))
            self._hand_back_lost(server)
        server.cursor.execute(statement("ensure_queue"), {"queue": self._local_queue.name})
        self._doorbell = not server.pooled
        if self._doorbell:
            from psycopg import sql

            connection.add_notify_handler(self._ring)
            channel = doorbell_channel(self._local_queue.name)
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        else:
            log.warning(
                "queue %s: LISTEN does not work through the connection pooler in front of PostgreSQL; polling instead",
                self._local_queue.name,
            )

    def _hand_back_lost(self, server: ReconnectingConnection) -> None:
        """Hand back jobs that this worker has claimed and does not know of. No claim of its own is under way."""
        queue, steps = self._local_queue, set[int]()
        with queue.handing_over, server.connection.transaction():
            rows = server.cursor.execute(
                statement("claims_of_worker"), {"queue": queue.name, "worker_id": self._worker_id}
            ).fetchall()
            # By the claim, too: a failover may have forgotten that a job was retried, and claimed again.
            known = {job.key() for job in queue.unfinished()}
            lost = [claim for claim in map(Claim._make, rows) if claim not in known]
            if lost:
                # One that is to be cancelled ends by this.
                settle(server.cursor, self._worker_id, "", [(claim, RELEASED) for claim in lost], steps=steps)
                log.warning(
                    "queue %s: handed back %d jobs of a claim whose answer was lost; they will be claimed again",
                    queue.name,
                    len(lost),
                )
        end_workflows_later(server.connection, steps)

    def _check_timeline(self, connection: Any) -> None:
        """Check whether this is still the same server, or a standby that took over.

        A standby that had not received everything may give the ids of lost jobs to new jobs. This worker would mistake
        those for jobs that it still runs, and acknowledge them together. So it claims no more; its successor does.

        Raises:
            Stopped: it is another server.

        """
        import psycopg

        try:
            row = connection.execute(statement("server_timeline")).fetchone()
        except psycopg.Error:
            if connection.closed:
                raise
            return  # some services that speak PostgreSQL's protocol show no WAL
        before, self._timeline = self._timeline, row[0]
        if before not in (None, self._timeline):
            self._failed_over.set()
            raise Stopped

    def _ring(self, notify: Any) -> None:
        self._rung = True

    def _wait_for_demand(self) -> None:
        claim_stats = self._local_queue.claim_stats
        claim_stats.waiting_for_demand = True
        if not self._local_queue.demand():  # again, for what ended before the flag was set woke nothing
            self._poll(None, STALE_INBOX)
        claim_stats.waiting_for_demand = False

    def _wait_for_work(self, server: ReconnectingConnection) -> None:
        wait = wait_after(self._misses, doorbell=self._doorbell)
        now = time.monotonic()
        if (self._look_ahead_wanted and self._armed_until and wait.seconds > MAX_POLL) or self._due_at <= now:
            self._look_ahead(server)
            now = time.monotonic()
        if now < self._armed_until - 0.05:
            seconds = min(wait.seconds, self._armed_until - now)  # it rings for us already
            cursor = self._claimer.cursor
            if not cursor.rested:
                # Jobs behind the cursor do not ring: sweep as soon as that is due.
                seconds = min(seconds, max(0.0, cursor.next_sweep - now))
            self._poll(server, min(seconds, max(0.0, self._due_at - now), self._claimer.seconds_left(now)))
        elif not wait.arm:
            self._poll(server, min(wait.seconds, self._claimer.seconds_left(now)))
        else:
            if not self._arm(server, now):
                return
            self._look_ahead(server)
            # Claim once more: a job that came before the bell was armed did not ring. Then `work` waits here again.

    def _arm(self, server: ReconnectingConnection, now: float) -> bool:
        """Arm the doorbell; where PostgreSQL refuses that, poll from now on."""
        import psycopg

        queue = self._local_queue.name
        try:
            server.cursor.execute(statement("enable_notify"), {"queue": queue, "seconds": ARMED_SECONDS})
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise  # an outage, which passes
        except psycopg.Error as error:  # rights, or a function that is gone
            if server.connection.closed:
                raise
            log.warning("queue %s: the doorbell cannot be used, polling instead: %s", queue, one_line(str(error)))
            self._doorbell = False
            return False
        # No row: another producer has armed it, for at least half of the time.
        self._armed_until = now + ARMED_SECONDS * (0.9 if server.cursor.rowcount else 0.45)
        return True

    def _look_ahead(self, server: ReconnectingConnection) -> None:
        """Find out when the next job is due."""
        self._look_ahead_wanted = False
        with server.hot_cursor() as cursor:
            cursor.execute(statement("next_due"), {"queue": self._local_queue.name})
        row = cursor.fetchone()
        seconds = None if row is None else row[0]
        self._due_at = math.inf if seconds is None else time.monotonic() + max(0.0, seconds) + 0.001

    def _poll(self, server: ReconnectingConnection | None, seconds: float) -> None:
        """Wait for a wake-up, for the doorbell, or for the time to pass."""
        signals, poller = self._local_queue.signals, select.poll()
        poller.register(signals.wake_fd, select.POLLIN)
        pgconn = None if server is None else server.connection.pgconn
        if pgconn is not None:
            poller.register(pgconn.socket, select.POLLIN)
            if self._rung:
                return
        for fd, _ in self._poll_and_watch(poller, max(0.0, seconds)):
            if fd == signals.wake_fd:
                signals.clear()
            elif pgconn is not None:
                pgconn.consume_input()
                while pgconn.notifies() is not None:
                    self._rung = True

    def _poll_and_watch(self, poller: select.poll, seconds: float) -> list[tuple[int, int]]:
        """Poll, and meanwhile wake another thread when no job starts although threads sleep."""
        local_queue, until = self._local_queue, time.monotonic() + seconds
        inbox, head = local_queue.inbox, local_queue.inbox.head()
        while inbox.jobs and inbox.sleeping:
            events = poller.poll(min(seconds, STALL) * 1000)
            now = time.monotonic()
            if events or now >= until:
                return events
            before, head = head, inbox.head()
            if head == before:
                local_queue.claim_stats.stalled = True  # a job keeps its thread, and others wait behind it
                inbox.wake_another()
            seconds = until - now
        return poller.poll(seconds * 1000)

    def _hand_back_stale_jobs(self) -> None:
        local_queue, head, now = self._local_queue, self._local_queue.inbox.head(), time.monotonic()
        if head != self._head:
            self._head, self._head_since = head, now
        if head is None:
            return
        if now - self._head_since >= STALE_INBOX:
            # The running jobs take longer than all that was measured: another worker may have a free slot.
            self._hand_back()
            local_queue.claim_stats.slow_until = local_queue.end_stats.ran + SLOW_JOBS
        elif now >= self._check_surplus_at:
            # Jobs take longer than those before, from whose time the prefetch was computed.
            self._check_surplus_at = now + STALE_INBOX
            for job in local_queue.inbox.take_last(local_queue.surplus()):
                self._outbox.put((job, RELEASED, None))

    def _hand_back(self) -> None:
        for job in self._local_queue.inbox.take_all():
            self._outbox.put((job, RELEASED, None))
