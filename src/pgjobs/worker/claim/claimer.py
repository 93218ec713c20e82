"""Claims for one queue: plain jobs, jobs whose turn it is, and both within the limit of the queue.

Plain jobs are claimed by one statement. Only where some wait for a turn, or the queue has a limit, there is more to do,
and whether that is so is looked at once a second.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

from pgjobs.db.dependencies import EndedJob, release_dependents, settle_dependencies
from pgjobs.db.statements import statement
from pgjobs.jobs.context import ControlledJob, CurrentJob
from pgjobs.jobs.outcome import Cancelled, Parked
from pgjobs.worker.claim.cursor import EPOCH, PRIORITIES, ClaimCursor, Place, ScanRange
from pgjobs.worker.claim.lane_rotation import LaneRotation
from pgjobs.worker.claim.paused_tasks import PausedTasks
from pgjobs.worker.local.demand import room_left
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection
from pgjobs.worker.runtime.settle import array

log = logging.getLogger("pgjobs.producer")
CLOCK_EVERY = 30.0  # seconds
FULL_POLL = 0.05  # seconds until the next look at whether a queue is still at its limit
EXPIRED = "expired: it was not worth running any more when its turn came"
_SMALLINTS = array(PRIORITIES)
_ORDER = itemgetter(5, 6, 0)  # of a claimed row: priority, run_at, id
_PAYLOAD = 12  # the last column of a plain job; of others the lane, the breaker, and whether it has expired come behind
Rows = list[tuple[Any, ...]]


class _Asked(NamedTuple):
    """A claim of plain jobs, as it was made."""

    rows: Rows
    wanted: int
    began: float
    clock: datetime
    look: ScanRange


class Claimer:
    """Claims into the inbox of a lane. For one thread."""

    def __init__(self, local_queue: LocalQueue, outbox: Outbox, worker_id: int) -> None:
        self._local_queue = local_queue
        self._outbox = outbox
        self._worker_id = worker_id
        self.frontier = ClaimCursor()
        self.lanes = LaneRotation()
        self._paused = PausedTasks()
        self._is_limited = False  # the queue has a limit of its own
        self._is_full = False  # and has reached it
        self._level = PRIORITIES[-1]  # the worst priority that the last claim of plain jobs took, if it was full
        self._queued_first = False  # where both kinds are more than can be run, they take turns
        self._clock_zero = EPOCH  # PostgreSQL's time when the monotonic clock was 0
        self._ask_clock_at = 0.0  # monotonic seconds

    def reconnected(self) -> None:
        """Trust nothing that another connection, or another server, has said."""
        self._ask_clock_at = self.lanes.next_check = 0.0

    def claim(self, link: ReconnectingConnection, wanted: int, *, rung: bool) -> int:
        """Claim up to so many jobs, and give how many they are. `rung`: the doorbell has rung since the last time."""
        lanes, now = self.lanes, time.monotonic()
        if now >= lanes.next_check:
            self._look(link, now)
        if rung and lanes.active(now):
            lanes.wake_now()
        if self._is_limited:
            return self._claim_limited(link, wanted)
        if lanes.is_due(now) and not self._queued_first:
            claimed = self._claim_waiting(link, wanted)
            self._queued_first = claimed >= wanted
            return claimed if claimed >= wanted else claimed + self._claim_queued(link, wanted - claimed)
        claimed, self._queued_first = self._claim_queued(link, wanted), False
        if rung and not claimed:
            self._look(link, time.monotonic())  # it may have rung for a job that has to wait for its turn
            if lanes.is_due(now):
                lanes.wake_now()
                claimed = self._claim_waiting(link, wanted)
        return claimed

    def seconds_left(self, now: float) -> float:
        """Give the seconds after which to claim again, whether anything rings or not; infinity: there is no need."""
        return FULL_POLL if self._is_limited and self._is_full else self.lanes.seconds_left(now)

    # -- Plain jobs ----------------------------------------------------------------------------------------------------

    def _claim_queued(self, link: ReconnectingConnection, wanted: int) -> int:
        with link.hot_cursor() as cursor:
            asked = self._ask(link, cursor, wanted)
        return self._take(asked)

    def _ask(self, link: ReconnectingConnection, cursor: Any, wanted: int, slot: str | None = None) -> _Asked:
        began = time.monotonic()
        clock = self._clock(link, began)
        look = self.frontier.start(began, clock)
        cursor.execute(
            statement("claim"),
            {
                "priorities": _SMALLINTS if look.order is None else array(look.priorities),
                "run_ats": [place[0] for place in look.places],
                "ids": array(place[1] for place in look.places),
                "untils": look.untils,
                "queue": self._local_queue.name,
                "demand": wanted,
                "worker_id": self._worker_id,
                "slot": slot,
            },
        )
        rows = cursor.fetchall()
        self._look_at_pauses(cursor, rows)
        return _Asked(rows, wanted, began, clock, look)

    def _look_at_pauses(self, cursor: Any, rows: Rows) -> None:
        """Look again at what is paused, with every claim while something is.

        Who goes by an old look parks what has just been put back, over and over. It is done before the jobs count as
        ours: if it fails, they are handed back.
        """
        if rows and self._paused:
            self._paused = PausedTasks(cursor.execute(statement("paused_tasks")).fetchall())

    def _take(self, asked: _Asked) -> int:
        """Hand on what was claimed, now that it is committed."""
        rows, wanted, began, clock, look = asked
        now = time.monotonic()
        last: dict[int, Place] = {}
        if rows:
            order = look.order
            if order is None:
                rows.sort(key=_ORDER)
            else:
                rows.sort(key=lambda row: (order.position(row[5], row[6]), row[6], row[0]))
            for row in rows[-1:] if rows[0][5] == rows[-1][5] and order is None else rows:
                last[row[5]] = (row[6], row[0])
            local_queue = self._local_queue
            name = local_queue.name
            self._put([CurrentJob(name, local_queue, *row) for row in self._note(rows, now)])
        full = len(rows) >= wanted
        self.frontier.claimed(last, full=full, began=began, now=now, clock=clock)
        self._level = max(last) if full and last else PRIORITIES[-1]
        self._note_emptiness()
        return len(rows)

    def _clock(self, link: ReconnectingConnection, now: float) -> datetime:
        """Give PostgreSQL's time, as reckoned from when it was asked last; it is one of many, and may be set."""
        if now >= self._ask_clock_at:
            row = link.cursor.execute(statement("transaction_clock")).fetchone()
            assert row is not None  # noqa: S101 (for mypy)
            now = time.monotonic()  # after the answer: then we are late, if anything, and look back further
            self._clock_zero = row[0] - timedelta(seconds=now)
            self._ask_clock_at = now + CLOCK_EVERY
        return self._clock_zero + timedelta(seconds=now)

    def _note(self, rows: Rows, now: float) -> Rows:
        """Count what was claimed, and give what does not run here already.

        Claims are committed asynchronously. When PostgreSQL crashes and forgets one, its jobs are queued again, and
        may be claimed by this worker a second time while they run; the claim in the table is then as good as the
        lost one.
        """
        local_queue = self._local_queue
        inflight = local_queue.inflight
        local_queue.last_claim = now
        fresh = rows
        if not inflight.keys().isdisjoint([row[0] for row in rows]):
            fresh = [row for row in rows if inflight.get(row[0]) != row[1]]
        local_queue.claimed += len(fresh)
        local_queue.note_sizes(len(rows), sum([len(row[_PAYLOAD]) for row in rows]))
        inflight.update([(row[0], row[1]) for row in fresh])
        return fresh

    def _put(self, jobs: list[CurrentJob]) -> None:
        """Let them be run, and park those of paused tasks."""
        if self._paused:
            pauses = [(job, self._paused.pause_of(job.task)) for job in jobs]
            jobs = [job for job, pause in pauses if pause is None]
            for job, pause in pauses:
                if pause is not None:
                    self._outbox.put((job, Parked(pause), None))
        self._local_queue.inbox.put(jobs)

    def _note_emptiness(self) -> None:
        self._local_queue.empty_since = min(self.frontier.empty_since, self.lanes.empty_since)

    # -- Jobs that wait for their turn, and limits ---------------------------------------------------------------------

    def _look(self, link: ReconnectingConnection, now: float) -> None:
        """See what is paused, whether anything waits for a turn or the queue has a limit, and who waits for whom."""
        with link.hot_cursor() as cursor:
            self._paused = PausedTasks(cursor.execute(statement("paused_tasks")).fetchall())
            row = cursor.execute(statement("check_queue"), {"queue": self._local_queue.name}).fetchone()
        assert row is not None  # noqa: S101 (for mypy)
        concurrency, rate, aging, waiting, unsettled = row
        self.frontier.aging = self.lanes.aging = None if aging is None else timedelta(seconds=aging)
        self._is_limited = concurrency is not None or rate is not None
        self.lanes.record_check(now, waiting)
        self._local_queue.takes_turns = self._is_limited or self.lanes.active(now)
        if unsettled:
            with link.connection.transaction(), link.hot_cursor() as cursor:
                settle_dependencies(cursor)

    def _claim_waiting(self, link: ReconnectingConnection, wanted: int) -> int:
        began = time.monotonic()
        with link.connection.transaction(), link.hot_cursor() as cursor:
            if not _has_lock(cursor):
                self.lanes.back_off(began)
                return 0
            rows = self._pass(cursor, wanted)
        return self._record_pass(rows, wanted, began)

    def _pass(self, cursor: Any, wanted: int, slot: str | None = None) -> Rows:
        """Give turns to so many jobs."""
        queue = self._local_queue.name
        look = self.lanes.start(wanted, self._level, self._clock_zero + timedelta(seconds=time.monotonic()))
        cursor.execute(statement("release_due_waiting"), {"queue": queue})
        self._expire(cursor)
        cursor.execute(
            statement("claim_waiting"),
            {
                "priorities": array(lane_range.priority for lane_range in look.ranges),
                "sinces": [lane_range.since for lane_range in look.ranges],
                "untils": [lane_range.until for lane_range in look.ranges],
                "dues": [lane_range.due for lane_range in look.ranges],
                "quantum": look.quantum,
                "most": look.most,
                "queue": queue,
                "demand": wanted,
                "worker_id": self._worker_id,
                "slot": slot,
            },
        )
        rows: Rows = cursor.fetchall()
        self._look_at_pauses(cursor, rows)
        return rows

    def _expire(self, cursor: Any) -> None:
        """Cancel what waits and is not worth running any more: it must not take the turns of others."""
        cursor.execute(statement("expire_waiting"), {"queue": self._local_queue.name, "reason": EXPIRED})
        ends = [EndedJob(*row) for row in cursor.fetchall()]
        if ends:
            log.info("queue %s: cancelled %d jobs that have expired", self._local_queue.name, len(ends))
            release_dependents(cursor, [end for end in ends if end.awaited], completed=False)

    def _record_pass(self, rows: Rows, wanted: int, began: float) -> int:
        """Hand on what was given a turn, now that it is committed."""
        local_queue, now = self._local_queue, time.monotonic()
        ended_at = None
        if rows and rows[-1][0] is None:
            ended_at = rows[-1][5], rows[-1][_PAYLOAD + 1]
            rows.pop()
        given = [(row[5], row[_PAYLOAD + 1]) for row in rows]
        self.lanes.record_pass(given, wanted, began, now, ended_at=ended_at)
        if rows:
            rows.sort(key=_ORDER)
            jobs: list[CurrentJob] = []
            for row in self._note(rows, now):
                *values, lane_key, breaker, is_late = row
                job = ControlledJob(local_queue.name, local_queue, *values, turn=(lane_key, breaker))
                if is_late:
                    self._outbox.put((job, Cancelled(EXPIRED), None))
                else:
                    jobs.append(job)
            self._put(jobs)
        self._note_emptiness()
        return len(rows)

    def _claim_limited(self, link: ReconnectingConnection, wanted: int) -> int:
        """Claim no more than the limit of the queue leaves: both kinds of jobs, under the lock."""
        queue, lanes, began = self._local_queue.name, self.lanes, time.monotonic()
        waiting: Rows | None = None
        asked: _Asked | None = None
        with link.connection.transaction(), link.hot_cursor() as cursor:
            if not _has_lock(cursor):
                lanes.back_off(began)
                return 0
            row = cursor.execute(statement("queue_capacity"), {"queue": queue}).fetchone()
            slots, tokens = (None, None) if row is None else row
            room = room_left(wanted, slots, tokens)
            if room and lanes.is_due(began) and not self._queued_first:
                waiting = self._pass(cursor, room, queue)
            taken = sum(row[0] is not None for row in waiting or ())
            if room > taken:
                asked = self._ask(link, cursor, room - taken, queue)
                taken += len(asked.rows)
            if tokens is not None and taken:
                cursor.execute(statement("spend_queue_tokens"), {"queue": queue, "tokens": tokens - taken})
        self._is_full = not room
        if not room:
            self._local_queue.empty_since = (
                began  # what is due can not be started now: to drain is not to wait for that
            )
        given = 0 if waiting is None else self._record_pass(waiting, room, began)
        self._queued_first = given >= room > 0
        if asked is not None:
            self._take(asked)
        return taken


def _has_lock(cursor: Any) -> bool:
    row = cursor.execute(statement("lock_lanes")).fetchone()
    return bool(row[0])
