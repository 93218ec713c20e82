"""The producer of one queue: claims what its lane asks for, and waits cleverly when there is nothing.

It alone decides when to look: at once while there is work, after milliseconds when there was some a moment ago, and
on the doorbell (LISTEN) when the queue has been empty for a while, with a slow poll as the net.
"""

from __future__ import annotations

import logging
import math
import select
import threading
import time
from typing import Any

from pgjobs.db.statements import doorbell_channel, statement
from pgjobs.jobs.outcome import RELEASED
from pgjobs.worker.claim.claimer import Claimer
from pgjobs.worker.local.demand import ARMED_SECONDS, MAX_POLL, STALE_INBOX, STALL, wait_after
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.runtime.critical_thread import CriticalThread
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped
from pgjobs.worker.runtime.registration import claim_role, terminate_backends
from pgjobs.worker.runtime.settle import Claim, settle

log = logging.getLogger("pgjobs.producer")


class Producer(CriticalThread):
    """One thread and one connection for one queue. `stop` (set, then the lane woken) ends it.

    It ends by itself, and sets `failed_over`, when another server has taken the place of the one it knew.
    """

    def __init__(
        self,
        local_queue: LocalQueue,
        outbox: Outbox,
        link: ReconnectingConnection,
        worker_id: int,
        stop: threading.Event,
        failed_over: threading.Event,
    ) -> None:
        super().__init__(name=f"pgjobs-producer-{local_queue.name}", daemon=True)
        self._local_queue = local_queue
        self._outbox = outbox
        self._link = link
        self._worker_id = worker_id
        self._stop_asked = stop
        self._failed_over = failed_over
        self._timeline: str | None = None  # None: not known
        self._claimer = Claimer(local_queue, outbox, worker_id)
        self._look_for_surplus_at = 0.0  # monotonic seconds
        self._misses = 0
        self._generation = 0
        self._doorbell = False
        self._rung = False  # since the last claim began, or while it was under way
        self._due_at = math.inf  # when the next job is due, as far as is known; monotonic seconds
        self._armed_until = 0.0

    def work(self) -> None:
        """Claim until told to stop, then hand back what no slot has taken."""
        local_queue = self._local_queue
        try:
            while not self._stop_asked.is_set():
                self._hand_back_what_is_stale()
                if local_queue.freed:
                    local_queue.freed = False
                    freed, local_queue.freed_lanes = local_queue.freed_lanes, []
                    anew, local_queue.look_anew = local_queue.look_anew, False
                    self._claimer.lanes.wake_now(freed, look=anew)
                wanted = local_queue.demand()
                if not wanted:
                    self._wait_for_demand()
                    continue
                rung, self._rung = self._rung, False  # if it rings from now on, the claim may not have seen what for
                claimed = self._link.run(lambda link, wanted=wanted, rung=rung: self._claim(link, wanted, rung))  # type: ignore[misc]
                if rung:
                    local_queue.look_ahead = True  # it may have rung for something that is due in a moment
                if claimed >= wanted:
                    self._misses = 0
                    continue
                # Of several that commit at about the same time one rings: there may be more in a moment.
                self._misses = 1 if claimed or rung else self._misses + 1
                self._link.run(self._wait_for_work)
        except Stopped:
            pass
        finally:
            self._hand_back()
            self._link.close()

    def _claim(self, link: ReconnectingConnection, wanted: int, rung: bool) -> int:
        self._get_ready(link)
        return self._claimer.claim(link, wanted, rung=rung)

    def _get_ready(self, link: ReconnectingConnection) -> None:
        """After a (re)connect: listen, and give back what an unanswered claim may have claimed."""
        connection = link.connection
        if link.generation == self._generation:
            return
        reconnected = self._generation > 0
        self._check_timeline(connection)
        self._generation, self._armed_until = link.generation, 0.0
        self._claimer.reconnected()
        if reconnected:
            terminate_backends(connection, self._worker_id, claim_role(self._local_queue.name, prefix=True))
            with connection.transaction():
                rows = link.cursor.execute(
                    statement("claims_of_worker"), {"queue": self._local_queue.name, "worker_id": self._worker_id}
                ).fetchall()
                # By the claim, too: a failover may have forgotten that a job was retried, and claimed again.
                inflight = self._local_queue.inflight
                lost = [row for row in rows if inflight.get(row[0]) not in (row[1], -row[1])]
                if lost:
                    settle(link.cursor, self._worker_id, "", [(Claim(*row), RELEASED) for row in lost])
                    log.warning(
                        "queue %s: handed back %d jobs of a claim that was cut off", self._local_queue.name, len(lost)
                    )
        link.cursor.execute(statement("ensure_queue"), {"queue": self._local_queue.name})
        self._doorbell = not link.pooled
        if self._doorbell:
            from psycopg import sql

            connection.add_notify_handler(self._ring)
            channel = doorbell_channel(self._local_queue.name)
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        else:
            log.warning(
                "queue %s: a connection pooler stands before PostgreSQL, and LISTEN does not work through it; polling",
                self._local_queue.name,
            )

    def _check_timeline(self, connection: Any) -> None:
        """See whether this is still the same server, or one that goes on from what had been sent to it.

        If that was not all, it may give the ids of lost jobs to new ones. Claimed by this worker, those would be taken
        for what it still runs, and acknowledged with it. So this worker claims nothing more; its successor does.

        Raises:
            Stopped: it is another one.

        """
        import psycopg

        try:
            row = connection.execute(statement("server_timeline")).fetchone()
        except psycopg.Error:
            if connection.closed:
                raise
            return  # PostgreSQL in name only: some services show no WAL
        before, self._timeline = self._timeline, row[0]
        if before not in (None, self._timeline):
            self._failed_over.set()
            raise Stopped

    def _ring(self, notify: Any) -> None:
        self._rung = True

    def _wait_for_demand(self) -> None:
        local_queue = self._local_queue
        local_queue.hungry = True
        if not local_queue.demand():
            self._poll(None, STALE_INBOX)
        local_queue.hungry = False

    def _wait_for_work(self, link: ReconnectingConnection) -> None:
        wait = wait_after(self._misses, doorbell=self._doorbell)
        now = time.monotonic()
        if (self._local_queue.look_ahead and self._armed_until and wait.seconds > MAX_POLL) or self._due_at <= now:
            self._look_ahead(link)
            now = time.monotonic()
        if now < self._armed_until - 0.05:
            seconds = min(wait.seconds, self._armed_until - now)  # it rings for us already
            frontier = self._claimer.frontier
            if not frontier.rested:
                # What lies behind the frontier does not ring: look there as soon as that is due.
                seconds = min(seconds, max(0.0, frontier.next_sweep - now))
            self._poll(link, min(seconds, max(0.0, self._due_at - now), self._claimer.seconds_left(now)))
        elif not wait.arm:
            self._poll(link, min(wait.seconds, self._claimer.seconds_left(now)))
        else:
            link.cursor.execute(statement("enable_notify"), {"queue": self._local_queue.name, "seconds": ARMED_SECONDS})
            # Not armed again: another producer did it, and it lasts for half of the time at least.
            self._armed_until = now + ARMED_SECONDS * (0.9 if link.cursor.rowcount else 0.45)
            self._look_ahead(link)
            # Look once more: a job that came before the bell was armed did not ring. Then `run` waits here again.

    def _look_ahead(self, link: ReconnectingConnection) -> None:
        """Find out when the next job is due."""
        self._local_queue.look_ahead = False
        with link.hot_cursor() as cursor:
            cursor.execute(statement("next_due"), {"queue": self._local_queue.name})
        row = cursor.fetchone()
        seconds = None if row is None else row[0]
        self._due_at = math.inf if seconds is None else time.monotonic() + max(0.0, seconds) + 0.001

    def _poll(self, link: ReconnectingConnection | None, seconds: float) -> None:
        """Wait for a wake-up, for the doorbell, or for the time to pass."""
        poller = select.poll()
        poller.register(self._local_queue.wake_fd, select.POLLIN)
        pgconn = None if link is None else link.connection.pgconn
        if pgconn is not None:
            poller.register(pgconn.socket, select.POLLIN)
            if self._rung:
                return
        for fd, _ in self._poll_and_watch(poller, max(0.0, seconds)):
            if fd == self._local_queue.wake_fd:
                self._local_queue.woken()
            elif pgconn is not None:
                pgconn.consume_input()
                while pgconn.notifies() is not None:
                    self._rung = True

    def _poll_and_watch(self, poller: select.poll, seconds: float) -> list[tuple[int, int]]:
        """Poll, and meanwhile see to it that no job lies in the inbox while threads sleep."""
        local_queue, until = self._local_queue, time.monotonic() + seconds
        while local_queue.inbox.jobs and local_queue.inbox.sleeping:
            events = poller.poll(min(seconds, STALL) * 1000)
            now = time.monotonic()
            if events or now >= until:
                return events
            if local_queue.last_start < now - STALL:
                local_queue.note_stall()
            seconds = until - now
        return poller.poll(seconds * 1000)

    def _hand_back_what_is_stale(self) -> None:
        local_queue, long_ago = self._local_queue, time.monotonic() - STALE_INBOX
        if local_queue.inbox.jobs and local_queue.last_start < long_ago and local_queue.last_claim < long_ago:
            # The jobs before these take longer than all that was measured: someone else may have a free slot.
            self._hand_back()
            local_queue.mean = max(local_queue.mean or 0.0, STALE_INBOX)
        elif local_queue.inbox.jobs and time.monotonic() >= self._look_for_surplus_at:
            # Jobs take longer than those before, by which it was reckoned how many to fetch.
            self._look_for_surplus_at = time.monotonic() + STALE_INBOX
            for job in local_queue.inbox.take_last(local_queue.surplus()):
                self._outbox.put((job, RELEASED, None))

    def _hand_back(self) -> None:
        for job in self._local_queue.inbox.take_back():
            self._outbox.put((job, RELEASED, None))
