"""Decides what to claim for one queue: plain jobs, jobs that wait for their turn, and both within the queue's limit.

Plain jobs are claimed by one statement. More is needed only where jobs wait for their turn or the queue has a limit,
and whether that is so is checked once a second.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from pgjobs.db.dependencies import settle_dependencies
from pgjobs.db.statements import statement
from pgjobs.db.workflow_ends import end_workflows_later
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.claim.lane_claims import LaneClaim, LaneClaims
from pgjobs.worker.claim.plain_claims import PlainClaim, PlainClaims
from pgjobs.worker.local.demand import room_left
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection

COUNTS = 2  # a claim that knew of no limit may have been under way at the first look
MAX_LANES = 10_000  # that are read, once a second, to know how old jobs are where a queue has aging
FULL_POLL = 0.05  # seconds until the next look at whether a queue is still at its limit


class Claimer:
    """Claims into the inbox of a local queue. For one thread."""

    def __init__(self, local_queue: LocalQueue, outbox: Outbox, worker_id: int) -> None:
        self._local_queue = local_queue
        self._intake = Intake(local_queue, outbox)
        self._plain = PlainClaims(local_queue.name, self._intake, worker_id)
        self._waiting = LaneClaims(local_queue.name, self._intake, worker_id)
        self.cursor = self._plain.cursor
        self.lanes = self._waiting.rotation
        self._is_limited = False  # the queue has a limit of its own
        self._counts_left = COUNTS  # how often to look for jobs that ran before that was known
        self._uncounted = 0  # such jobs whose rows were locked: they take slots until the next look
        self._queue_has_lock = False  # a row that is locked to count what runs in it
        self._is_full = False  # and has reached it
        self._settled_up_to = 0  # dependencies on jobs with smaller ids were looked at
        self._plain_first = False  # where both kinds are more than can be run, they take turns

    def reconnected(self) -> None:
        """Discard what another connection, or another server, has said."""
        self._plain.reconnected()
        self._waiting.reconnected()

    def claim(self, server: ReconnectingConnection, wanted: int, *, rung: bool) -> int:
        """Claim up to `wanted` jobs, and return their number. `rung`: the doorbell has rung since the last time."""
        lanes, now = self.lanes, time.monotonic()
        if now >= lanes.next_check:
            self._check_queue(server, now)
        if rung and lanes.active(now):
            lanes.wake_now()
        if self._is_limited:
            return self._claim_limited(server, wanted)
        if lanes.is_due(now) and not self._plain_first:
            claimed = self._claim_waiting(server, wanted)
            self._plain_first = claimed >= wanted
            return claimed if claimed >= wanted else claimed + self._claim_plain(server, wanted - claimed)
        claimed, self._plain_first = self._claim_plain(server, wanted), False
        if rung and not claimed:
            self._check_queue(server, time.monotonic())  # it may have rung for a job that has to wait for its turn
            if lanes.is_due(now):
                lanes.wake_now()
                claimed = self._claim_waiting(server, wanted)
        return claimed

    def seconds_left(self, now: float) -> float:
        """Return the seconds after which to claim again, rung or not; infinity: only when it rings."""
        return FULL_POLL if self._is_limited and self._is_full else self.lanes.seconds_left(now)

    def _check_queue(self, server: ReconnectingConnection, now: float) -> None:
        """Read what is paused, whether jobs wait for their turn, the queue's limit, and settle new dependencies."""
        with server.hot_cursor() as cursor:
            self._intake.load_pauses(cursor)
            row = cursor.execute(statement("check_queue"), {"queue": self._local_queue.name}).fetchone()
            assert row is not None  # noqa: S101 (for mypy)
            concurrency, rate, aging, waiting, unsettled, signalled = row
            self.cursor.aging = self.lanes.aging = None if aging is None else timedelta(seconds=aging)
            self.lanes.oldest = self._find_oldest(cursor) if waiting and aging is not None else None
        self._is_limited = concurrency is not None or rate is not None
        self._prepare_limit(server)
        self.lanes.record_check(now, waiting)
        self._local_queue.claim_stats.has_flow_control = self._is_limited or self.lanes.active(now)
        if unsettled:
            steps: set[int] = set()
            with server.connection.transaction(), server.hot_cursor() as cursor:
                self._settled_up_to = settle_dependencies(cursor, self._settled_up_to, steps)
            end_workflows_later(server.connection, steps)
        if signalled:
            self._tell_waiting(server)

    @staticmethod
    def _tell_waiting(server: ReconnectingConnection) -> None:
        """Make jobs due that wait for a signal which was sent, and wake the workers of their queues."""
        with server.connection.transaction(), server.hot_cursor() as cursor:
            queues = [row[0] for row in cursor.execute(statement("tell_waiting")).fetchall()]
            if queues:
                cursor.execute(statement("notify_queues"), {"queues": sorted(queues)})

    def _find_oldest(self, cursor: Any) -> dict[int, datetime] | None:
        """Return since when the oldest job in lanes is due, by priority; None: there are too many lanes."""
        values = {"queue": self._local_queue.name, "most": MAX_LANES}
        found = dict(cursor.execute(statement("oldest_in_lanes"), values).fetchall())
        return None if None in found else found

    def _prepare_limit(self, server: ReconnectingConnection) -> None:
        """Make a row to be locked for the limit of the queue, if it has one, and count what runs already."""
        queue = self._local_queue.name
        if not self._is_limited:
            self._counts_left, self._uncounted = COUNTS, 0
            return
        if not self._queue_has_lock:
            self._add_locks(server, {f"queue:{queue}"})
            self._queue_has_lock = True
        if self._counts_left or self._uncounted:
            self._counts_left = max(self._counts_left - 1, 0)
            with server.hot_cursor() as cursor:
                ((self._uncounted,),) = cursor.execute(statement("count_earlier_jobs"), {"queue": queue}).fetchall()

    def _claim_plain(self, server: ReconnectingConnection, wanted: int) -> int:
        with server.hot_cursor() as cursor:
            claim = self._plain.claim_rows(server, cursor, wanted)
        claimed = self._plain.record(claim)
        self._record_emptiness()
        return claimed

    def _claim_waiting(self, server: ReconnectingConnection, wanted: int) -> int:
        began = time.monotonic()
        with server.connection.transaction(), server.hot_cursor() as cursor:
            claim = self._claim_lane_rows(cursor, wanted)
        self._add_locks(server, claim.missing)
        claimed = self._waiting.record(claim, wanted, began)
        self._record_emptiness()
        return claimed

    def _claim_lane_rows(self, cursor: Any, wanted: int, counted_queue: str | None = None) -> LaneClaim:
        return self._waiting.claim_rows(cursor, wanted, self._plain.worst_priority, self._plain.clock(), counted_queue)

    def _claim_limited(self, server: ReconnectingConnection, wanted: int) -> int:
        """Claim no more than the limit of the queue leaves: both kinds of jobs, while no other claim may."""
        queue, lanes, began = self._local_queue.name, self.lanes, time.monotonic()
        waiting: LaneClaim | None = None
        plain: PlainClaim | None = None
        with server.connection.transaction(), server.hot_cursor() as cursor:
            if cursor.execute(statement("lock_key"), {"kind": "queue", "name": queue}).fetchone() is None:
                lanes.back_off(began)
                self._queue_has_lock = False  # or it was deleted
                return 0
            row = cursor.execute(statement("queue_capacity"), {"queue": queue}).fetchone()
            slots, tokens = (None, None) if row is None else row
            room = room_left(wanted, None if slots is None else slots - self._uncounted, tokens)
            if room and lanes.is_due(began) and not self._plain_first:
                waiting = self._claim_lane_rows(cursor, room, queue)
            taken = 0 if waiting is None else waiting.rows
            if room > taken:
                plain = self._plain.claim_rows(server, cursor, room - taken, queue)
                taken += len(plain.jobs)
            if tokens is not None and taken:
                cursor.execute(statement("spend_queue_tokens"), {"queue": queue, "tokens": tokens - taken})
        self._is_full = not room
        if not room:  # no due job can start now, and a drain does not wait for that
            self._local_queue.claim_stats.empty_since = began
        given = 0
        if waiting is not None:
            self._add_locks(server, waiting.missing)
            given = self._waiting.record(waiting, room, began)
        self._plain_first = given >= room > 0
        if plain is not None:
            self._plain.record(plain)
        if waiting is not None or plain is not None:
            self._record_emptiness()
        return taken

    def _add_locks(self, server: ReconnectingConnection, keys: set[str]) -> None:
        if keys:
            with server.hot_cursor() as cursor:
                cursor.execute(statement("add_key_locks"), {"keys": sorted(keys)})

    def _record_emptiness(self) -> None:
        self._local_queue.claim_stats.empty_since = min(self.cursor.empty_since, self.lanes.empty_since)
