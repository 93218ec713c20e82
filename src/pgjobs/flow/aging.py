"""Aging: a job that has waited long enough is served as if its priority were higher. Pure decisions.

A job of priority p that has been due for k times the queue's `aging` has the *level* p - k, 0 at the least, and levels
are served as priorities are without aging: 0 first. Nothing is written for that: a claim takes ranges of (priority,
run_at) in their order, and a level is a list of such ranges. Of level 1 there are

    priority 1, due for less than one aging; priority 2, due for one to two; priority 3, due for two to three; …

and level 0 has no upper end, so all that waits gets there. There, where one priority alone could use up all slots for
ever, the priorities take turns in being first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

Place = tuple[datetime, int]  # (run_at, id)
LEVELS = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
BEGINNING: Place = (EPOCH, 0)
_TICK = timedelta(microseconds=1)  # what PostgreSQL's timestamps are counted in


class Range(NamedTuple):
    """Jobs of one priority, from a place on until a time (which is in it)."""

    priority: int
    start: Place
    until: datetime


def level(priority: int, run_at: datetime, clock: datetime, aging: timedelta) -> int:
    """Return the level of a job that is due since `run_at`."""
    return max(0, priority - max(timedelta(0), clock - run_at) // aging)


def ranges(
    clock: datetime,
    aging: timedelta,
    *,
    starts: Sequence[Place] = (BEGINNING,) * LEVELS,
    untils: Sequence[datetime] = (END_OF_TIME,) * LEVELS,
    turn: int = 0,
) -> list[Range]:
    """Return the ranges that a claim scans, in order: the levels, without what is before `starts` or after `untils`.

    `starts`, `untils`: for each priority. `turn`: a number that grows with every claim. Ranges do not overlap, and
    together they are all from the starts to the untils; those of one priority come in the order of time.
    """
    found = []
    for served in range(LEVELS):
        priorities = range(served, LEVELS)
        if served == 0:
            first = turn % LEVELS
            order = [*priorities[first:], *priorities[:first]]
        else:
            order = [*reversed(priorities)]  # the longest wait first
        for priority in order:
            steps = priority - served
            until = untils[priority]
            if steps:
                until = min(until, _before(clock, steps * aging))
            start = starts[priority]
            if served:
                start = max(start, (_before(clock, (steps + 1) * aging) + _TICK, 0))
            if start[0] <= until:
                found.append(Range(priority, start, until))
    return found


class Order:
    """Where in a list of ranges a job stands: to tell which ranges a claim has used up."""

    def __init__(self, found: Sequence[Range]) -> None:
        self._untils: list[list[datetime]] = [[] for _ in range(LEVELS)]
        self._positions: list[list[int]] = [[] for _ in range(LEVELS)]
        for position, (priority, _, until) in enumerate(found):
            self._untils[priority].append(until)
            self._positions[priority].append(position)

    def position(self, priority: int, run_at: datetime) -> int:
        """Return the position of the range that a claimed job came from."""
        at = bisect_left(self._untils[priority], run_at)
        return self._positions[priority][at]


def _before(clock: datetime, age: timedelta) -> datetime:
    return EPOCH if clock - EPOCH <= age else clock - age
