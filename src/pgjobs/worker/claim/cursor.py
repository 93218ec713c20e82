"""Where the next claim of a queue starts, for each priority, and when to look behind that: pure decisions.

A claim remembers where it left off, because the index before that place has mostly dead entries. The place is a
shortcut, not a truth: rows that commit late, are released or are rescued are behind it. So

- no claim starts later than `NEAR` before now: transactions that run side by side commit out of order;
- *sweeps* look behind: all at once where that is quick. Where a long transaction elsewhere keeps millions of dead
  entries alive it is not, and then they go back slice by slice, each about as long as `SLICE`, with every second one
  for what is recent, so that no claim waits for them. They never take more than 5 % of the time.

A *full scan* is a series of sweeps that together have looked at everything.

Where the queue has an *aging*, what a claim looks at is cut into ranges (see `aging`); all else is the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pgjobs.flow.aging import BEGINNING, END_OF_TIME, EPOCH, Order, Place, Range, ranges

__all__ = ["BEGINNING", "END_OF_TIME", "EPOCH", "NEAR", "PRIORITIES", "ClaimCursor", "Place", "ScanRange"]

PRIORITIES = list(range(10))
NEAR = timedelta(seconds=0.1)
SLICE = 0.002  # seconds that a sweep should take at most, beside what any claim takes
SLOW_SWEEP = 0.05  # seconds: no look at everything takes that by chance
MIN_SHARE = 64  # a slice is at least this part of what was seen, so that every full scan comes to its end
MIN_RECENT = 2.0  # seconds that every sweep looks back: late commits are hardly ever later
FIRST_WIDTH = 64.0  # seconds of run_at in a slice, when slices become necessary
MAX_WIDTH = 1e6  # seconds; slices that might be wider have no end
SWEEP_EVERY = 0.5  # seconds, while claims come back full
SWEEP_SHARE = 20  # the next sweep is no sooner than this many times what the last one cost


@dataclass(frozen=True, slots=True)
class ScanRange:
    """What a claim looks at: each priority from its place on, until a time.

    `order`: with aging, the position of a claimed job; priorities may be there several times then.
    """

    places: list[Place]
    untils: list[datetime]
    priorities: list[int] = field(default_factory=lambda: PRIORITIES)
    order: Order | None = None


_TO_THE_END = [END_OF_TIME] * len(PRIORITIES)


class ClaimCursor:
    """The places of one queue. `now`, `began`: seconds of a monotonic clock; `clock`: PostgreSQL's, about."""

    def __init__(self) -> None:
        self.places: list[Place] = [BEGINNING] * len(PRIORITIES)
        self.next_sweep = 0.0  # when the next one may be
        self.empty_since = 0.0  # when the last full scan began, if nothing has been found since; else 0
        self.sweeping = False  # whether the last claim was a sweep
        self.rested = False  # whether it was the end of a full scan that found nothing
        self.aging: timedelta | None = None  # of the queue, as far as is known; may be changed between two claims
        self._cycle = 0  # claims with aging
        self._aged: tuple[list[Range], Order] | None = None  # what the last claim looked at, with aging
        # Seconds before the places: a sweep looks as far back as `_recent`, or from `_seen` to `_seen + _width`.
        self._recent = math.inf
        self._width = math.inf
        self._seen = 0.0  # by this full scan; 0: a new one begins
        self._deep = False  # whether the last sweep was one of the second kind
        self._usual = 0.0  # seconds that any claim takes, of late
        self._slow = 0  # full sweeps in a row that took too long
        self._full_scan_began = 0.0
        self._found = False  # something, since this full scan began

    def look_everywhere(self) -> None:
        """Make the next claim a sweep of everything, whatever it costs: a drain waits for its answer.

        On a machine that is very busy every sweep seems slow, and a full scan in slices would take minutes.
        """
        self.next_sweep = self._seen = 0.0
        self._recent, self._deep = math.inf, False

    def start(self, now: float, clock: datetime) -> ScanRange:
        """Return what the next claim looks at."""
        scan = self._scan_range(now, clock)
        if self.aging is None:
            self._aged = None
            return scan
        self._cycle += 1
        found = ranges(clock, self.aging, starts=scan.places, untils=scan.untils, turn=self._cycle)
        order = Order(found)
        self._aged = found, order
        return ScanRange(
            [each.start for each in found], [each.until for each in found], [each[0] for each in found], order
        )

    def _scan_range(self, now: float, clock: datetime) -> ScanRange:
        self.sweeping, self.rested = now >= self.next_sweep, False
        near = (clock - NEAR, 0)
        starts = [min(place, near) for place in self.places]
        if not self.sweeping:
            return ScanRange(starts, _TO_THE_END)
        if not self._seen:
            self._full_scan_began, self._found = now, False
        self._deep = bool(self._seen) and not self._deep
        if not self._deep:
            return ScanRange([_before(place, self._recent) for place in starts], _TO_THE_END)
        far = self._seen + self._width
        return ScanRange([_before(place, far) for place in starts], [_before(place, self._seen)[0] for place in starts])

    def claimed(self, last: Mapping[int, Place], *, full: bool, began: float, now: float, clock: datetime) -> None:
        """Remember a claim that began at `clock`: the last place it took of each priority, and whether it was `full`.

        Full: it took all that it asked for, so more may lie behind what it took.
        """
        places = self.places
        for priority, place in last.items():
            if full or place > places[priority]:
                places[priority] = place  # a sweep may have left late rows just behind what it took
        if not (self.sweeping and self._deep):
            # It stopped at the last priority that it took from; those before have nothing more that is due.
            near = (clock - NEAR, 0)
            if self._aged and full and last:
                self._used_up(*self._aged, last, near)
            else:
                for priority in range(max(last)) if full and last else PRIORITIES:
                    places[priority] = max(places[priority], near)
        if last:
            self._found, self.empty_since = True, 0.0
        cost = now - began
        if not self.sweeping:
            self._usual = min(cost, self._usual * 1.02) if self._usual else cost
        if self.sweeping:
            self.next_sweep = now + max(SWEEP_SHARE * cost, SWEEP_EVERY if full else 0.0)
            if full:
                self._seen, self._deep = 0.0, False  # what was found comes first
            else:
                self._swept(cost - self._usual, now)

    def _used_up(self, found: list[Range], order: Order, last: Mapping[int, Place], near: Place) -> None:
        """With aging: what lies before the range from which a full claim took its last job has nothing more."""
        stopped = max(order.position(priority, place[0]) for priority, place in last.items())
        for priority, _, until in found[:stopped]:
            self.places[priority] = max(self.places[priority], min((until, 0), near))

    def _swept(self, cost: float, now: float) -> None:
        """After a sweep that was not full: `cost` is what it took beyond the usual."""
        if self._deep:
            self._seen += self._width
            self._width = max(_adapted(self._width, cost), self._seen / MIN_SHARE)
        elif self._recent == math.inf:
            self._seen = math.inf
            self._slow = self._slow + 1 if cost > 2 * SLICE else 0
            if self._slow > 1 or cost > SLOW_SWEEP:  # not only once, when the machine was busy
                self._recent, self._slow = FIRST_WIDTH, 0
                self.next_sweep = min(self.next_sweep, now + SWEEP_SHARE * SLICE)  # what comes next is cheap
        else:
            if not self._seen:
                self._seen = self._width = self._recent
            self._recent = max(_adapted(self._recent, cost), MIN_RECENT)
        if self._seen == math.inf:
            self._seen, self._deep = 0.0, False
            if not self._found:
                self.empty_since, self.rested = self._full_scan_began, True


def _before(place: Place, seconds: float) -> Place:
    if seconds == math.inf or place[0] - EPOCH < timedelta(seconds=seconds):
        return BEGINNING
    return place[0] - timedelta(seconds=seconds), place[1]


def _adapted(width: float, cost: float) -> float:
    """Return the width of the next slice, from what the last one cost."""
    if cost > SLICE:
        return max(width / 2, 0.01)
    width *= 4 if cost < SLICE / 4 else 1.3 if cost < SLICE / 2 else 1
    return width if width < MAX_WIDTH else math.inf
