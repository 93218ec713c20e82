"""Claims for one queue: plain jobs, jobs that wait for their turn, and both within the limit of the queue.

Plain jobs are claimed by one statement. More is needed only where jobs wait for their turn or the queue has a limit,
and whether that is so is checked once a second.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from pgjobs.db.dependencies import EndedJob, release_dependents, settle_dependencies
from pgjobs.db.statements import statement
from pgjobs.jobs.outcome import Cancelled
from pgjobs.worker.claim.cursor import EPOCH, PRIORITIES, ClaimCursor, Place, ScanRange
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.claim.lane_rotation import LaneRotation
from pgjobs.worker.local.claimed_job import COLUMNS, CONTROLLED_COLUMNS, ClaimedJob, check_columns
from pgjobs.worker.local.demand import room_left
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection
from pgjobs.worker.runtime.settle import array

log = logging.getLogger("pgjobs.producer")
CLOCK_EVERY = 30.0  # seconds
FULL_POLL = 0.05  # seconds until the next look at whether a queue is still at its limit
EXPIRED = "expired before its turn came"
_SMALLINTS = array(PRIORITIES)
_FIRST_TO_LAST = ("priority", "run_at", "id")
_ORDER = attrgetter(*_FIRST_TO_LAST)  # of jobs
_ROW_ORDER = itemgetter(*map(COLUMNS.index, _FIRST_TO_LAST))  # of rows of claim.sql, which are quicker to sort


class _PlainClaim(NamedTuple):
    """A claim of plain jobs, as it was made. `jobs` are sorted, but without regard to aging."""

    jobs: list[ClaimedJob]
    wanted: int
    began: float
    clock: datetime
    look: ScanRange


class _Pass(NamedTuple):
    """Jobs that got their turn. `late`: those of them that have expired; `ended_at`: where the walk stopped early."""

    jobs: list[ClaimedJob]
    late: list[ClaimedJob]
    ended_at: tuple[int, str] | None


class Claimer:
    """Claims into the inbox of a local queue. For one thread."""

    def __init__(self, local_queue: LocalQueue, outbox: Outbox, worker_id: int) -> None:
        self._local_queue = local_queue
        self._intake = Intake(local_queue, outbox)
        self._worker_id = worker_id
        self.cursor = ClaimCursor()
        self.lanes = LaneRotation()
        self._unchecked = {"claim", "claim_waiting"}  # statements whose columns were not compared on this connection
        self._is_limited = False  # the queue has a limit of its own
        self._is_full = False  # and has reached it
        self._level = PRIORITIES[-1]  # the worst priority that the last claim of plain jobs took, if it was full
        self._queued_first = False  # where both kinds are more than can be run, they take turns
        self._clock_zero = EPOCH  # PostgreSQL's time when the monotonic clock was 0
        self._ask_clock_at = 0.0  # monotonic seconds

    def reconnected(self) -> None:
        """Discard what another connection, or another server, has said."""
        self._ask_clock_at = self.lanes.next_check = 0.0
        self._unchecked = {"claim", "claim_waiting"}

    def claim(self, link: ReconnectingConnection, wanted: int, *, rung: bool) -> int:
        """Claim up to `wanted` jobs, and return their number. `rung`: the doorbell has rung since the last time."""
        lanes, now = self.lanes, time.monotonic()
        if now >= lanes.next_check:
            self._check_queue(link, now)
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
            self._check_queue(link, time.monotonic())  # it may have rung for a job that has to wait for its turn
            if lanes.is_due(now):
                lanes.wake_now()
                claimed = self._claim_waiting(link, wanted)
        return claimed

    def seconds_left(self, now: float) -> float:
        """Return the seconds after which to claim again, rung or not; infinity: only when it rings."""
        return FULL_POLL if self._is_limited and self._is_full else self.lanes.seconds_left(now)

    def _check_columns(self, name: str, cursor: Any, expected: tuple[str, ...]) -> None:
        if name in self._unchecked:
            check_columns(cursor.description, expected)
            self._unchecked.discard(name)

    # -- Plain jobs ----------------------------------------------------------------------------------------------------

    def _claim_queued(self, link: ReconnectingConnection, wanted: int) -> int:
        with link.hot_cursor() as cursor:
            claim = self._execute_claim(link, cursor, wanted)
        return self._record_claim(claim)

    def _execute_claim(
        self, link: ReconnectingConnection, cursor: Any, wanted: int, counted_queue: str | None = None
    ) -> _PlainClaim:
        began = time.monotonic()
        clock = self._clock(link, began)
        look = self.cursor.start(began, clock)
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
                "counted_queue": counted_queue,
            },
        )
        self._check_columns("claim", cursor, COLUMNS)
        rows = cursor.fetchall()
        rows.sort(key=_ROW_ORDER)
        jobs = self._intake.rows_to_jobs(rows)
        if jobs:
            self._intake.reload_pauses(cursor)
        return _PlainClaim(jobs, wanted, began, clock, look)

    def _record_claim(self, claim: _PlainClaim) -> int:
        """Hand on the claimed jobs, now that the claim is committed."""
        jobs, wanted, began, clock, look = claim
        now = time.monotonic()
        last: dict[int, Place] = {}
        if jobs:
            order = look.order
            if order is not None:
                jobs.sort(key=lambda job: (order.position(job.priority, job.run_at), job.run_at, job.id))
            one_priority = order is None and jobs[0].priority == jobs[-1].priority
            for job in jobs[-1:] if one_priority else jobs:
                last[job.priority] = (job.run_at, job.id)
            self._intake.put(self._intake.record(jobs))
        full = len(jobs) >= wanted
        self.cursor.claimed(last, full=full, began=began, now=now, clock=clock)
        self._level = max(last) if full and last else PRIORITIES[-1]
        self._record_emptiness()
        return len(jobs)

    def _clock(self, link: ReconnectingConnection, now: float) -> datetime:
        """Return PostgreSQL's time, estimated from the last answer: asking with every claim would cost a round trip."""
        if now >= self._ask_clock_at:
            row = link.cursor.execute(statement("transaction_clock")).fetchone()
            assert row is not None  # noqa: S101 (for mypy)
            now = time.monotonic()  # after the answer: then we are late, if anything, and look back further
            self._clock_zero = row[0] - timedelta(seconds=now)
            self._ask_clock_at = now + CLOCK_EVERY
        return self._clock_zero + timedelta(seconds=now)

    def _record_emptiness(self) -> None:
        self._local_queue.claims.empty_since = min(self.cursor.empty_since, self.lanes.empty_since)

    # -- Jobs that wait for their turn, and limits ---------------------------------------------------------------------

    def _check_queue(self, link: ReconnectingConnection, now: float) -> None:
        """Read what is paused, whether jobs wait for their turn, the queue's limit, and settle new dependencies."""
        with link.hot_cursor() as cursor:
            self._intake.load_pauses(cursor)
            row = cursor.execute(statement("check_queue"), {"queue": self._local_queue.name}).fetchone()
        assert row is not None  # noqa: S101 (for mypy)
        concurrency, rate, aging, waiting, unsettled = row
        self.cursor.aging = self.lanes.aging = None if aging is None else timedelta(seconds=aging)
        self._is_limited = concurrency is not None or rate is not None
        self.lanes.record_check(now, waiting)
        self._local_queue.claims.has_flow_control = self._is_limited or self.lanes.active(now)
        if unsettled:
            with link.connection.transaction(), link.hot_cursor() as cursor:
                settle_dependencies(cursor)

    def _claim_waiting(self, link: ReconnectingConnection, wanted: int) -> int:
        began = time.monotonic()
        with link.connection.transaction(), link.hot_cursor() as cursor:
            if not _has_lock(cursor):
                self.lanes.back_off(began)
                return 0
            found = self._execute_pass(cursor, wanted)
        return self._record_pass(found, wanted, began)

    def _execute_pass(self, cursor: Any, wanted: int, counted_queue: str | None = None) -> _Pass:
        """Claim up to `wanted` waiting jobs whose turn it is."""
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
                "counted_queue": counted_queue,
            },
        )
        self._check_columns("claim_waiting", cursor, CONTROLLED_COLUMNS)
        rows = cursor.fetchall()
        jobs = self._intake.rows_to_jobs(row[:-1] for row in rows)
        late = [job for job, row in zip(jobs, rows, strict=True) if row[-1]]  # `is_late`
        ended_at = None
        if jobs and jobs[-1].id is None:  # a row without an id says where the walk ended before its time
            marker = jobs.pop()
            ended_at = marker.priority, marker.lane or ""
        if jobs:
            self._intake.reload_pauses(cursor)
        return _Pass(jobs, late, ended_at)

    def _expire(self, cursor: Any) -> None:
        """Cancel waiting jobs that have expired: they must not take the turns of others."""
        cursor.execute(statement("expire_waiting"), {"queue": self._local_queue.name, "reason": EXPIRED})
        ends = [EndedJob(*row) for row in cursor.fetchall()]
        if ends:
            log.info("queue %s: cancelled %d jobs that had expired", self._local_queue.name, len(ends))
            release_dependents(cursor, [end for end in ends if end.awaited], completed=False)

    def _record_pass(self, found: _Pass, wanted: int, began: float) -> int:
        """Hand on the jobs that got their turn, now that it is committed."""
        given = [(job.priority, job.lane or "") for job in found.jobs]
        self.lanes.record_pass(given, wanted, began, time.monotonic(), ended_at=found.ended_at)
        if found.jobs:
            late = set(found.late)
            jobs = self._intake.record(sorted(found.jobs, key=_ORDER))
            self._intake.put([job for job in jobs if job not in late])
            for job in jobs:
                if job in late:
                    self._intake.end(job, Cancelled(EXPIRED))
        self._record_emptiness()
        return len(found.jobs)

    def _claim_limited(self, link: ReconnectingConnection, wanted: int) -> int:
        """Claim no more than the limit of the queue leaves: both kinds of jobs, under the lock."""
        queue, lanes, began = self._local_queue.name, self.lanes, time.monotonic()
        waiting: _Pass | None = None
        plain: _PlainClaim | None = None
        with link.connection.transaction(), link.hot_cursor() as cursor:
            if not _has_lock(cursor):
                lanes.back_off(began)
                return 0
            row = cursor.execute(statement("queue_capacity"), {"queue": queue}).fetchone()
            slots, tokens = (None, None) if row is None else row
            room = room_left(wanted, slots, tokens)
            if room and lanes.is_due(began) and not self._queued_first:
                waiting = self._execute_pass(cursor, room, queue)
            taken = 0 if waiting is None else len(waiting.jobs)
            if room > taken:
                plain = self._execute_claim(link, cursor, room - taken, queue)
                taken += len(plain.jobs)
            if tokens is not None and taken:
                cursor.execute(statement("spend_queue_tokens"), {"queue": queue, "tokens": tokens - taken})
        self._is_full = not room
        if not room:  # no due job can start now, and a drain does not wait for that
            self._local_queue.claims.empty_since = began
        given = 0 if waiting is None else self._record_pass(waiting, room, began)
        self._queued_first = given >= room > 0
        if plain is not None:
            self._record_claim(plain)
        return taken


def _has_lock(cursor: Any) -> bool:
    row = cursor.execute(statement("lock_lanes")).fetchone()
    return bool(row[0])
