"""Which lanes may start jobs next, and when to look: pure decisions.

Jobs with a limit, a sequence, a tenant or a breaker wait in lanes, and lanes take turns. A claim of
them goes through the lanes in their order, starts after the lane that had the last turn, and takes up to `quantum` jobs
from each, until it has as many as are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pgjobs.worker.claim.cursor import END_OF_TIME, EPOCH, PRIORITIES

FIRST = ""  # before all lanes
LAST = None  # to the last lane: which text is behind all of them depends on the encoding of the database
CHECK_EVERY = 1.0  # seconds between two looks at whether anything waits
MIN_CLAIM_PAUSE = 0.005  # seconds until the next claim after one that found nothing
MAX_CLAIM_PAUSE = 0.5
CLAIM_SHARE = 20  # the next claim after one in vain is no sooner than this many times what that one took
WALK_SHARE = 9  # the same, where a walk through all lanes continues
MIN_LANES = 500  # that one claim looks at, at most; more where more jobs are asked for
MAX_FREED = 200  # lanes that are checked before a walk continues
IDLE_AFTER = 30.0  # seconds without anything that waits, after which a queue counts as one without such jobs


class LaneRange(NamedTuple):
    """Lanes of one priority, from one up to another, both included; `due`: since when their jobs have to be due."""

    priority: int
    since: str
    until: str | None
    due: datetime


class LanePlan(NamedTuple):
    """What a claim looks at: ranges in their order, `quantum` jobs of each lane, and at most `most` lanes."""

    ranges: list[LaneRange]
    quantum: int
    most: int


class LaneRotation:
    """The rotation of one queue's lanes in one worker process. `now`: seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.next_check = 0.0
        self._last_seen_waiting = -math.inf  # when something was last seen to wait
        self._next_claim = 0.0
        self.aging: timedelta | None = None  # of the queue
        self._last: dict[int, str] = {}  # by priority: the lane that had the last turn
        self._left: list[LaneRange] = []  # of a walk that ended before its time
        self._freed: dict[tuple[int, str], None] = {}  # lanes where something has ended
        self._planned: list[LaneRange] = []  # what the claim that is under way looks at
        self._out_of_turn: set[tuple[int, str]] = set()  # lanes that it checks before it continues
        self._quantum = 1 << 20  # as long as there may be but one lane
        self.order: Callable[[str], str | bytes] = str  # what the database compares of a lane, as a key for sorting
        self.empty_since = 0.0  # when the last check or claim that found nothing to be started began; 0: it found some

    def record_check(self, now: float, waiting: bool) -> None:
        """Remember a check of whether anything waits for a turn, or will."""
        self.next_check = now + CHECK_EVERY
        if waiting:
            self._last_seen_waiting = now
        elif not self.active(now):
            self.empty_since = now

    def active(self, now: float) -> bool:
        """Return True if anything waits for its turn in this queue, or did a moment ago."""
        return now - self._last_seen_waiting < IDLE_AFTER

    def is_due(self, now: float) -> bool:
        """Return True if it is time for a claim."""
        return self.active(now) and now >= self._next_claim

    def seconds_left(self, now: float) -> float:
        """Return the seconds until the next claim; infinity: no claim is needed."""
        return max(0.0, self._next_claim - now) if self.active(now) else math.inf

    def wake_now(self, freed: Iterable[tuple[int, str]] = (), *, check_queue: bool = False) -> None:
        """Make the next claim at once: jobs of these lanes ended, or jobs were added. `check_queue`: that first."""
        self._next_claim = 0.0
        if check_queue:
            self.next_check = 0.0
        self._freed.update(dict.fromkeys(freed))

    def back_off(self, now: float) -> None:
        """Wait a moment, because another worker is claiming."""
        self._next_claim = now + MIN_CLAIM_PAUSE

    def plan_claim(self, demand: int, worst: int, clock: datetime) -> LanePlan:
        """Return what the next claim looks at, to claim `demand` jobs of priorities up to `worst`.

        An unfinished walk through all lanes continues where it ended, after the lanes where jobs have ended
        since. A new walk takes better priorities first; with aging a priority comes several times, first with jobs that
        have waited so long that they count as a better one.
        """
        freed, self._freed = sorted(self._freed)[:MAX_FREED], {}
        if self._left:
            self._planned = [LaneRange(priority, lane, lane, END_OF_TIME) for priority, lane in freed] + self._left
            self._out_of_turn = set(freed)
        else:
            self._planned, self._out_of_turn = list(self._walk(worst, clock)), set()
        return LanePlan(self._planned, max(1, min(self._quantum, demand)), max(MIN_LANES, 2 * demand))

    def _walk(self, worst: int, clock: datetime) -> Iterator[LaneRange]:
        for priority, due in steps(worst, clock, self.aging):
            last = self._last.get(priority, FIRST)
            yield LaneRange(priority, behind(last), LAST, due)
            if last != FIRST:  # from the beginning on, up to the lane that had the last turn
                yield LaneRange(priority, FIRST, last, due)

    def record_claim(
        self,
        given: Iterable[tuple[int, str]],
        demand: int,
        began: float,
        now: float,
        *,
        ended_at: tuple[int, str] | None = None,
    ) -> None:
        """Remember a claim of these jobs (priority and lane of each) when `demand` were wanted.

        `ended_at`: the number of the range (from 1) and the lane at which the walk stopped early.
        """
        lanes: dict[int, set[str]] = {}
        jobs = 0
        for priority, lane in given:
            jobs += 1
            if (priority, lane) not in self._out_of_turn:
                lanes.setdefault(priority, set()).add(lane)
        for priority, those in lanes.items():
            self._last[priority] = last_in_turn(those, self._last.get(priority, FIRST), self.order)
        self._quantum = next_quantum(self._quantum, demand, jobs, sum(map(len, lanes.values())))
        self._left = [] if ended_at is None else rest_of(self._planned, *ended_at)
        share = CLAIM_SHARE if ended_at is None else WALK_SHARE
        self._next_claim = 0.0 if jobs else now + min(max(share * (now - began), MIN_CLAIM_PAUSE), MAX_CLAIM_PAUSE)
        self.empty_since = 0.0 if jobs or self._left else began
        if jobs:
            self._last_seen_waiting = now


def behind(lane: str) -> str:
    """Return the first text after a lane: PostgreSQL has no character before U+0001."""
    return lane if lane == FIRST else lane + "\x01"


def rest_of(ranges: list[LaneRange], number: int, lane: str) -> list[LaneRange]:
    """Return what is left of a walk that stopped at this lane of this range (the first is 1)."""
    here = ranges[number - 1]
    return [here._replace(since=behind(lane)), *ranges[number:]]


def steps(worst: int, clock: datetime, aging: timedelta | None) -> list[tuple[int, datetime]]:
    """Return the priorities in the order of service, each with the time by which a job has to be due."""
    if aging is None:
        return [(priority, END_OF_TIME) for priority in PRIORITIES[: worst + 1]]
    return [
        (priority, EPOCH if clock - EPOCH <= (waited := (priority - served) * aging) else clock - waited)
        for served in PRIORITIES[: worst + 1]
        for priority in PRIORITIES[served:]
    ]


def last_in_turn(lanes: Iterable[str], last: str, order: Callable[[str], Any] = str) -> str:
    """Return the lane that had the last turn of a claim, which starts after `last` and ends with it.

    `order`: the key by which the database sorts lanes.
    """
    ordered = sorted(lanes, key=order)
    before = [lane for lane in ordered if order(lane) <= order(last)]
    return (before or ordered)[-1]


def next_quantum(quantum: int, demand: int, given: int, lanes: int) -> int:
    """Return how many jobs to take from each lane in the next claim.

    If there are more jobs than wanted, every lane should get a turn; if there are fewer, one lane may give them all.

    >>> next_quantum(100, demand=100, given=100, lanes=1)  # others may not have come to their turn
    50
    >>> next_quantum(1, demand=100, given=20, lanes=20)
    4

    """
    if given < demand:
        return min(max(4 * quantum, 1), 1 << 20)
    return max(1, min(quantum, demand) // 2) if lanes < demand else 1
