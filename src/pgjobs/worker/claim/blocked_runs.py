"""Runs of lanes without room, one behind the other, that walks jump over: pure decisions.

A lane without room costs a look each time. Where many of them follow each other, a claim that has looked at them
remembers the first and the last. Mostly a few limits or breakers hold them all up: then a look at those is enough to
know whether the run still has no room. Else it is forgotten after a while. What is enqueued meanwhile is looked for by
its id, and lanes in which something ends are looked at anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

MANY = 8  # limits and breakers of one run, at most
KEYED_FOR = 5.0  # seconds that a run is remembered whose limits and breakers are known, at least
OTHERS_FOR = 1.0  # any other
SHARE = 20  # and at least this many times what the look at its lanes took


class LaneRun(NamedTuple):
    """Lanes of one priority, from one to another, both included, that had no room.

    `keys`: the limits and breakers that hold them up, as `limit:api` (None: others do, or too many); `cost`: of the
    cheapest of their jobs, in tokens. `took`: seconds that the look at them took; `until`: when it is forgotten.
    """

    priority: int
    first: str
    last: str
    keys: frozenset[str] | None
    cost: float
    took: float
    until: float

    @classmethod
    def seen(
        cls, priority: int, first: str, last: str, keys: Iterable[str] | None, cost: float, took: float, now: float
    ) -> LaneRun:
        """Return a run as it is seen now."""
        known = None if keys is None else frozenset(keys)
        if known is not None and len(known) > MANY:
            known = None
        until = now + max(OTHERS_FOR if known is None else KEYED_FOR, SHARE * took)
        return cls(priority, first, last, known, cost, took, until)


class BlockedRuns:
    """The runs of one queue. `order`: what the database compares of a lane."""

    def __init__(self) -> None:
        self.order: Callable[[str], Any] = str
        self._runs: list[LaneRun] = []

    def __len__(self) -> int:
        return len(self._runs)

    def clear(self) -> None:
        """Forget all of them."""
        self._runs = []

    def keys(self, now: float) -> dict[str, float]:
        """Return the keys to look at, each with the cost of its cheapest job. Forgets what is too old."""
        self._runs = [run for run in self._runs if now < run.until]
        costs: dict[str, float] = {}
        for run in self._runs:
            for key in run.keys or ():
                costs[key] = min(run.cost, costs.get(key, run.cost))
        return costs

    def add(self, run: LaneRun, *, behind_last: str | None, now: float) -> None:
        """Remember a run. `behind_last`: the lane right before it at which the walk had stopped, if there is one."""
        for before in self._runs:
            if before.priority == run.priority and before.last == behind_last:
                keys = None if before.keys is None or run.keys is None else before.keys | run.keys
                took = before.took + run.took
                run = LaneRun.seen(run.priority, before.first, run.last, keys, min(before.cost, run.cost), took, now)
                break
        order = self.order
        first, last = order(run.first), order(run.last)
        self._runs = [
            other
            for other in self._runs
            if other.priority != run.priority or order(other.last) < first or order(other.first) > last
        ]
        self._runs.append(run)
        self._runs.sort(key=lambda each: (each.priority, order(each.first)))

    def held_up_by(self, keys: set[str]) -> list[LaneRun]:
        """Return the runs that at least one of these limits and breakers holds up."""
        return [run for run in self._runs if run.keys is not None and not keys.isdisjoint(run.keys)]

    def gaps(
        self, priority: int, since: str, until: str | None, with_room: set[str]
    ) -> Iterator[tuple[str, str | None]]:
        """Return the parts of a range of lanes that are in no run, as ranges; each may end with the first of a run.

        `with_room`: runs that are held up by one of these keys are looked at, too.
        """
        order = self.order
        for run in self._runs:
            if run.priority != priority or (run.keys is not None and not with_room.isdisjoint(run.keys)):
                continue
            if order(run.last) < order(since):
                continue
            if until is not None and order(run.first) > order(until):
                break
            if order(since) < order(run.first):
                yield since, run.first
            since = behind(run.last)
        if until is None or order(since) <= order(until):
            yield since, until


def behind(lane: str) -> str:
    """Return the first text after a lane: PostgreSQL has no character before U+0001."""
    return lane + "\x01" if lane else lane
