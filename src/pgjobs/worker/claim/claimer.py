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

from pgjobs.db.dependencies import End, follow, settle_dependencies
from pgjobs.db.statements import statement
from pgjobs.jobs.context import ControlledJob, CurrentJob
from pgjobs.jobs.outcome import Cancelled, Parked
from pgjobs.worker.claim.cursor import OLDEST, PRIORITIES, Frontier, Look, Place
from pgjobs.worker.claim.lane_rotation import Turns
from pgjobs.worker.claim.paused_tasks import PausedTasks
from pgjobs.worker.local.demand import room_left
from pgjobs.worker.local.local_queue import Lane, Outbox
from pgjobs.worker.runtime.reconnecting import Link
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
    look: Look


class Claimer:
    """Claims into the inbox of a lane. For one thread."""

    def __init__(self, lane: Lane, outbox: Outbox, worker_id: int) -> None:
        self._lane = lane
        self._outbox = outbox
        self._worker_id = worker_id
        self.frontier = Frontier()
        self.turns = Turns()
        self._paused = PausedTasks()
        self._is_limited = False  # the queue has a limit of its own
        self._is_full = False  # and has reached it
        self._level = PRIORITIES[-1]  # the worst priority that the last claim of plain jobs took, if it was full
        self._queued_first = False  # where both kinds are more than can be run, they take turns
        self._clock_zero = OLDEST  # PostgreSQL's time when the monotonic clock was 0
        self._ask_clock_at = 0.0  # monotonic seconds

    def reconnected(self) -> None:
        """Trust nothing that another connection, or another server, has said."""
        self._ask_clock_at = self.turns.next_look = 0.0

    def claim(self, link: Link, wanted: int, *, rung: bool) -> int:
        """Claim up to so many jobs, and give how many they are. `rung`: the doorbell has rung since the last time."""
        turns, now = self.turns, time.monotonic()
        if now >= turns.next_look:
            self._look(link, now)
        if rung and turns.are_taken(now):
            turns.hurry()
        if self._is_limited:
            return self._claim_limited(link, wanted)
        if turns.is_due(now) and not self._queued_first:
            claimed = self._claim_waiting(link, wanted)
            self._queued_first = claimed >= wanted
            return claimed if claimed >= wanted else claimed + self._claim_queued(link, wanted - claimed)
        claimed, self._queued_first = self._claim_queued(link, wanted), False
        if rung and not claimed:
            self._look(link, time.monotonic())  # it may have rung for a job that has to wait for its turn
            if turns.is_due(now):
                turns.hurry()
                claimed = self._claim_waiting(link, wanted)
        return claimed

    def seconds_left(self, now: float) -> float:
        """Give the seconds after which to claim again, whether anything rings or not; infinity: there is no need."""
        return FULL_POLL if self._is_limited and self._is_full else self.turns.seconds_left(now)

    # -- Plain jobs ----------------------------------------------------------------------------------------------------

    def _claim_queued(self, link: Link, wanted: int) -> int:
        with link.pinned() as cursor:
            asked = self._ask(link, cursor, wanted)
        return self._take(asked)

    def _ask(self, link: Link, cursor: Any, wanted: int, slot: str | None = None) -> _Asked:
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
                "queue": self._lane.name,
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
            lane = self._lane
            name = lane.name
            self._put([CurrentJob(name, lane, *row) for row in self._note(rows, now)])
        full = len(rows) >= wanted
        self.frontier.claimed(last, full=full, began=began, now=now, clock=clock)
        self._level = max(last) if full and last else PRIORITIES[-1]
        self._note_emptiness()
        return len(rows)

    def _clock(self, link: Link, now: float) -> datetime:
        """Give PostgreSQL's time, as reckoned from when it was asked last; it is one of many, and may be set."""
        if now >= self._ask_clock_at:
            row = link.cursor.execute(statement("clock")).fetchone()
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
        lane = self._lane
        inflight = lane.inflight
        lane.last_claim = now
        fresh = rows
        if not inflight.keys().isdisjoint([row[0] for row in rows]):
            fresh = [row for row in rows if inflight.get(row[0]) != row[1]]
        lane.claimed += len(fresh)
        lane.note_sizes(len(rows), sum([len(row[_PAYLOAD]) for row in rows]))
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
        self._lane.inbox.put(jobs)

    def _note_emptiness(self) -> None:
        self._lane.empty_since = min(self.frontier.empty_since, self.turns.empty_since)

    # -- Jobs that wait for their turn, and limits ---------------------------------------------------------------------

    def _look(self, link: Link, now: float) -> None:
        """See what is paused, whether anything waits for a turn or the queue has a limit, and who waits for whom."""
        with link.pinned() as cursor:
            self._paused = PausedTasks(cursor.execute(statement("paused_tasks")).fetchall())
            row = cursor.execute(statement("look_queue"), {"queue": self._lane.name}).fetchone()
        assert row is not None  # noqa: S101 (for mypy)
        concurrency, rate, aging, waiting, unsettled = row
        self.frontier.aging = self.turns.aging = None if aging is None else timedelta(seconds=aging)
        self._is_limited = concurrency is not None or rate is not None
        self.turns.looked(now, waiting)
        self._lane.takes_turns = self._is_limited or self.turns.are_taken(now)
        if unsettled:
            with link.connection.transaction(), link.pinned() as cursor:
                settle_dependencies(cursor)

    def _claim_waiting(self, link: Link, wanted: int) -> int:
        began = time.monotonic()
        with link.connection.transaction(), link.pinned() as cursor:
            if not _has_lock(cursor):
                self.turns.give_way(began)
                return 0
            rows = self._pass(cursor, wanted)
        return self._passed(rows, wanted, began)

    def _pass(self, cursor: Any, wanted: int, slot: str | None = None) -> Rows:
        """Give turns to so many jobs."""
        queue = self._lane.name
        look = self.turns.start(wanted, self._level, self._clock_zero + timedelta(seconds=time.monotonic()))
        cursor.execute(statement("wake_waiting"), {"queue": queue})
        self._expire(cursor)
        cursor.execute(
            statement("claim_waiting"),
            {
                "priorities": array(piece.priority for piece in look.pieces),
                "sinces": [piece.since for piece in look.pieces],
                "untils": [piece.until for piece in look.pieces],
                "dues": [piece.due for piece in look.pieces],
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
        cursor.execute(statement("expire_waiting"), {"queue": self._lane.name, "reason": EXPIRED})
        ends = [End(*row) for row in cursor.fetchall()]
        if ends:
            log.info("queue %s: cancelled %d jobs that have expired", self._lane.name, len(ends))
            follow(cursor, [end for end in ends if end.awaited], completed=False)

    def _passed(self, rows: Rows, wanted: int, began: float) -> int:
        """Hand on what was given a turn, now that it is committed."""
        lane, now = self._lane, time.monotonic()
        ended_at = None
        if rows and rows[-1][0] is None:
            ended_at = rows[-1][5], rows[-1][_PAYLOAD + 1]
            rows.pop()
        given = [(row[5], row[_PAYLOAD + 1]) for row in rows]
        self.turns.passed(given, wanted, began, now, ended_at=ended_at)
        if rows:
            rows.sort(key=_ORDER)
            jobs: list[CurrentJob] = []
            for row in self._note(rows, now):
                *values, lane_key, breaker, is_late = row
                job = ControlledJob(lane.name, lane, *values, turn=(lane_key, breaker))
                if is_late:
                    self._outbox.put((job, Cancelled(EXPIRED), None))
                else:
                    jobs.append(job)
            self._put(jobs)
        self._note_emptiness()
        return len(rows)

    def _claim_limited(self, link: Link, wanted: int) -> int:
        """Claim no more than the limit of the queue leaves: both kinds of jobs, under the lock."""
        queue, turns, began = self._lane.name, self.turns, time.monotonic()
        waiting: Rows | None = None
        asked: _Asked | None = None
        with link.connection.transaction(), link.pinned() as cursor:
            if not _has_lock(cursor):
                turns.give_way(began)
                return 0
            row = cursor.execute(statement("queue_room"), {"queue": queue}).fetchone()
            slots, tokens = (None, None) if row is None else row
            room = room_left(wanted, slots, tokens)
            if room and turns.is_due(began) and not self._queued_first:
                waiting = self._pass(cursor, room, queue)
            taken = sum(row[0] is not None for row in waiting or ())
            if room > taken:
                asked = self._ask(link, cursor, room - taken, queue)
                taken += len(asked.rows)
            if tokens is not None and taken:
                cursor.execute(statement("spend_queue_tokens"), {"queue": queue, "tokens": tokens - taken})
        self._is_full = not room
        if not room:
            self._lane.empty_since = began  # what is due can not be started now: to drain is not to wait for that
        given = 0 if waiting is None else self._passed(waiting, room, began)
        self._queued_first = given >= room > 0
        if asked is not None:
            self._take(asked)
        return taken


def _has_lock(cursor: Any) -> bool:
    row = cursor.execute(statement("lock_turns")).fetchone()
    return bool(row[0])
