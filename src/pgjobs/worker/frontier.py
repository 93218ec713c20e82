"""Where the last claim of a queue left off, for each priority, and when to sweep from the beginning again.

The remembered place is a shortcut, not a truth: rows that commit late, are released or are rescued lie behind it. So
a *sweep* from the beginning finds them: at once while the queue is not full, else every half second, and never more
than 5 % of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

PRIORITIES = list(range(10))
BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), 0)
SWEEP_EVERY = 0.5  # seconds, while claims come back full
SWEEP_SHARE = 20  # the next sweep is no sooner than this many times what the last one cost

Place = tuple[datetime, int]  # (run_at, id)


class Frontier:
    """The places of one queue. Times are seconds of a monotonic clock, given by the caller."""

    def __init__(self) -> None:
        self.places: list[Place] = [BEGINNING] * len(PRIORITIES)
        self.sweeping = True  # whether the last claim was a sweep
        self.next_sweep = 0.0  # when the next one may be

    def start(self, now: float) -> Sequence[Place]:
        """Give the places from which the next claim starts; whether it is a sweep stands in `sweeping`."""
        self.sweeping = now >= self.next_sweep
        return [BEGINNING] * len(PRIORITIES) if self.sweeping else self.places

    def claimed(self, last: dict[int, Place], *, full: bool, began: float, now: float) -> None:
        """Remember a claim: the last place of each priority it took, and whether it took all that it asked for."""
        for priority, place in last.items():
            if full or place > self.places[priority]:
                # A full sweep may have left late rows just behind what it took: go on from there.
                self.places[priority] = place
        if self.sweeping:
            self.next_sweep = now + max(SWEEP_SHARE * (now - began), SWEEP_EVERY if full else 0.0)
