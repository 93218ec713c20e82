"""How many jobs a claim asks for at most, where large payloads come over a slow link: a pure decision.

A statement has 20 seconds. A claim of a thousand jobs of a megabyte would never come over, and would be asked for again
as it was, forever. So one that took long asks for less the next time, and quick ones for more again.
"""

from __future__ import annotations

from pgjobs.worker.local.demand import MAX_BATCH

LONG = 5.0  # seconds that a claim should take at most


class ClaimSize:
    """The most that the next claim of a queue asks for.

    >>> size = ClaimSize()
    >>> size.failed(64, seconds=20.0)
    >>> size.of(64)
    16
    >>> size.came(16, seconds=8.0)
    >>> size.of(64)
    10
    >>> size.came(10, seconds=0.1)
    >>> size.of(64)
    20

    """

    def __init__(self) -> None:
        self._most = MAX_BATCH

    def of(self, wanted: int) -> int:
        """Return how many of the wanted jobs to ask for."""
        return min(wanted, self._most)

    def came(self, jobs: int, seconds: float) -> None:
        """Note that a claim has come over, with this number of jobs."""
        if seconds > LONG:
            if jobs:  # else something other than payloads was slow
                self._most = max(1, int(jobs * LONG / seconds))
        elif self._most < MAX_BATCH and jobs >= self._most:
            self._most = min(MAX_BATCH, self._most * 2)

    def failed(self, asked: int, seconds: float) -> None:
        """Note that a claim has failed. One that failed at once says nothing about its size."""
        if seconds > LONG:
            self._most = max(1, asked // 4)
