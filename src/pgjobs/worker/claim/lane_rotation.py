"""Which lanes may start jobs next, and when to look: pure decisions.

Jobs with a limit, a sequence, a tenant or a breaker wait in lanes, and lanes take turns. A claim of
them goes through the lanes in their order, starts after the lane that had the last turn, and takes up to `quantum` jobs
from each, until it has as many as are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pgjobs.worker.claim.blocked_runs import BlockedRuns, LaneRun, behind
from pgjobs.worker.claim.cursor import END_OF_TIME, EPOCH, PRIORITIES

FIRST = ""  # before all lanes
LAST = None  # to the last lane: which text is behind all of them depends on the encoding of the database
CHECK_EVERY = 1.0  # seconds between two looks at whether anything waits
MIN_CLAIM_PAUSE = 0.005  # seconds until the next claim after one that found nothing
MAX_CLAIM_PAUSE = 0.5
CLAIM_SHARE = 20  # the next claim after one in vain is no sooner than this many times what that one took
WALK_SHARE = 9  # the same, where a walk through all lanes continues
MIN_LANES = 250  # that one claim looks at, at most; more where more jobs are asked for
MIN_PICKED = 20  # lanes with room that a claim looks for, at least
MAX_FREED = 200  # lanes that are checked before a walk continues
IDLE_AFTER = 30.0  # seconds without anything that waits, after which a queue counts as one without such jobs


class LaneRange(NamedTuple):
    """Lanes of one priority, from one up to another, both included; `due`: since when their jobs have to be due."""

    priority: int
    since: str
    until: str | None
    due: datetime


class LanePlan(NamedTuple):
    """What a claim looks at: ranges in their order, `quantum` jobs of each lane, and at most `most` lanes.

    `lanes`: with so many that have room it is content. `is_rest`: an earlier claim has begun this walk.
    """

    ranges: list[LaneRange]
    quantum: int
    most: int
    lanes: int
    is_rest: bool


class BlockedLanes(NamedTuple):
    """A run of lanes without room, in a range that a claim has looked at (its number, from 1).

    `keys` and `cost`: see `LaneRun`. `at_start`: no lane of the range comes before.
    """

    number: int
    first: str
    last: str
    keys: list[str] | None
    cost: float
    at_start: bool


class LaneRotation:
    """The rotation of one queue's lanes in one worker process. `now`: seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.runs = BlockedRuns()
        self.next_check = 0.0
        self._last_seen_waiting = -math.inf  # when something was last seen to wait
        self._next_claim = 0.0
        self.aging: timedelta | None = None  # of the queue
        self.oldest: dict[int, datetime] | None = None  # by priority: since when its oldest job is due; None: not known
        self._last: dict[int, str] = {}  # by priority: the lane that had the last turn
        self._left: list[LaneRange] = []  # of a walk that ended before its time
        self._is_rest = False  # the claim that is under way continues a walk
        self._walk_began = 0.0  # when its first claim did
        self._freed: dict[tuple[int, str], None] = {}  # lanes where something has ended
        self._planned: list[LaneRange] = []  # what the claim that is under way looks at
        self._out_of_turn: set[tuple[int, str]] = set()  # lanes that it checks before it continues
        self._lanes = 1 << 20  # with room, that a claim looks for
        self._quantum = 1 << 20  # as long as there may be but one lane
        self.empty_since = 0.0  # when the last check or walk that found nothing to be started began; 0: it found some

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
            self.runs.clear()
        self._freed.update(dict.fromkeys(freed))

    def back_off(self, now: float) -> None:
        """Wait a moment, because another worker is claiming."""
        self._next_claim = now + MIN_CLAIM_PAUSE

    @property
    def order(self) -> Callable[[str], Any]:
        """What the database compares of a lane, as a key for sorting."""
        return self.runs.order

    def plan_claim(self, demand: int, worst: int, clock: datetime, with_room: Iterable[str] = ()) -> LanePlan:
        """Return what the next claim looks at, to claim `demand` jobs of priorities up to `worst`.

        An unfinished walk through all lanes continues where it ended, after the lanes where jobs have ended
        since. A new walk takes better priorities first; with aging a priority comes several times, first with jobs that
        have waited so long that they count as a better one. Runs of lanes without room are left out. `with_room`: the
        limits and breakers of such runs that have some again.
        """
        waiting = sorted(self._freed)
        freed, self._freed = waiting[:MAX_FREED], dict.fromkeys(waiting[MAX_FREED:] if self.runs else [])
        rest, self._out_of_turn = self._left, set(freed)
        if not rest:
            rest = list(self._walk(worst, clock))
            if not self.runs:
                freed, self._out_of_turn = [], set()  # the walk comes there
        if self.runs:
            room = set(with_room)
            again = [LaneRange(run.priority, run.first, run.last, END_OF_TIME) for run in self.runs.held_up_by(room)]
            if self._left:  # the walk has left them out until now
                rest = rest + [each for each in again if each not in rest]
            rest = [
                each._replace(since=since, until=until)
                for each in rest
                for since, until in self.runs.gaps(each.priority, each.since, each.until, room)
            ]
        is_rest = self._is_rest = bool(self._left)
        self._planned = [LaneRange(priority, lane, lane, END_OF_TIME) for priority, lane in freed] + rest
        lanes = min(demand, self._lanes)
        quantum = max(1, min(self._quantum, demand))
        return LanePlan(self._planned, quantum, max(MIN_LANES, 2 * lanes), lanes, is_rest)

    def _walk(self, worst: int, clock: datetime) -> Iterator[LaneRange]:
        for priority, due in steps(worst, clock, self.aging, self.oldest):
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
        blocked: Iterable[BlockedLanes] = (),
    ) -> None:
        """Remember a claim of these jobs (priority and lane of each) when `demand` were wanted.

        `ended_at`: the number of the range (from 1) and the lane at which the walk stopped early. `blocked`: runs of
        lanes without room that it came by.
        """
        self._remember_runs(list(blocked), began, now)
        lanes: dict[int, set[str]] = {}
        kept: set[tuple[int, str]] = set()
        jobs = 0
        for priority, lane in given:
            jobs += 1
            kept.add((priority, lane))
            if (priority, lane) not in self._out_of_turn:
                lanes.setdefault(priority, set()).add(lane)
        for priority, those in lanes.items():
            self._last[priority] = last_in_turn(those, self._last.get(priority, FIRST), self.order)
        self._quantum = next_quantum(self._quantum, demand, jobs, sum(map(len, lanes.values())))
        self._left = [] if ended_at is None else rest_of(self._planned, *ended_at)
        share = CLAIM_SHARE if ended_at is None else WALK_SHARE
        self._next_claim = 0.0 if jobs else now + min(max(share * (now - began), MIN_CLAIM_PAUSE), MAX_CLAIM_PAUSE)
        if not self._is_rest:
            self._walk_began = began
        self.empty_since = 0.0 if jobs or self._left else self._walk_began
        if jobs:
            self._last_seen_waiting = now
            if self.runs:  # which may cover lanes that were looked at out of turn, and have more to give
                self._freed.update(dict.fromkeys(self._out_of_turn if jobs >= demand else self._out_of_turn & kept))

    def record_lanes(self, asked: int, picked: int, gave: int, *, enough: bool) -> None:
        """Remember how many lanes with room a claim looked for and found, how many gave a job, and if that sufficed."""
        self._lanes = next_lanes(self._lanes, asked, picked, gave, enough=enough)

    def _remember_runs(self, blocked: list[BlockedLanes], began: float, now: float) -> None:
        for each in blocked:
            lane_range = self._planned[each.number - 1]
            took = (now - began) / len(blocked)
            run = LaneRun.seen(lane_range.priority, each.first, each.last, each.keys, each.cost, took, now)
            self.runs.add(run, behind_last=lane_before(lane_range.since) if each.at_start else None, now=now)


def lane_before(since: str) -> str | None:
    """Return the lane behind which a range starts, if it does start behind one."""
    return since[:-1] if since.endswith("\x01") else None


def rest_of(ranges: list[LaneRange], number: int, lane: str) -> list[LaneRange]:
    """Return what is left of a walk that stopped at this lane of this range (the first is 1)."""
    here = ranges[number - 1]
    return [here._replace(since=behind(lane)), *ranges[number:]]


def steps(
    worst: int, clock: datetime, aging: timedelta | None, oldest: Mapping[int, datetime] | None = None
) -> list[tuple[int, datetime]]:
    """Return the priorities in the order of service, each with the time by which a job has to be due.

    `oldest`: the time by which the oldest job of a priority is due. Steps for which none is old enough are left out.
    """
    if aging is None:
        return [(priority, END_OF_TIME) for priority in PRIORITIES[: worst + 1]]
    found = [
        (served, priority, EPOCH if clock - EPOCH <= (waited := (priority - served) * aging) else clock - waited)
        for served in PRIORITIES[: worst + 1]
        for priority in PRIORITIES[served:]
    ]
    return [
        (priority, due)
        for served, priority, due in found
        if oldest is None or served == priority or due >= oldest.get(priority, END_OF_TIME)
    ]


def last_in_turn(lanes: Iterable[str], last: str, order: Callable[[str], Any] = str) -> str:
    """Return the lane that had the last turn of a claim, which starts after `last` and ends with it.

    `order`: the key by which the database sorts lanes.
    """
    ordered = sorted(lanes, key=order)
    before = [lane for lane in ordered if order(lane) <= order(last)]
    return (before or ordered)[-1]


def next_lanes(lanes: int, asked: int, picked: int, gave: int, *, enough: bool) -> int:
    """Return how many lanes with room the next claim looks for.

    Lanes may share a limit that has room for a few jobs, or each may give several jobs: then looking at all of them is
    in vain. `gave`: lanes that gave a job; `enough`: those were as many jobs as were wanted.

    >>> next_lanes(1000, asked=1000, picked=1000, gave=10, enough=False)
    20
    >>> next_lanes(1000, asked=1000, picked=1000, gave=100, enough=True)
    125
    >>> next_lanes(20, asked=20, picked=20, gave=20, enough=False)
    80

    """
    if enough:
        return max(MIN_PICKED, gave + gave // 4) if gave + gave // 4 < picked else lanes
    if 2 * gave < picked:
        return max(MIN_PICKED, 2 * gave)
    return min(4 * lanes, 1 << 20) if picked >= asked else lanes


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
