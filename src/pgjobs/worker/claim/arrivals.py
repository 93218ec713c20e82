"""Which lanes have new jobs: those with ids that were not there at the last look. Pure decisions.

Ids are given out when a job is enqueued, and seen when it is committed. So each look goes back to the newest id of two
seconds ago, and leaves out what it has seen before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

BACK = 2.0  # seconds


class Arrivals:
    """The new lanes of one queue."""

    def __init__(self) -> None:
        self.after = 0  # the id behind which to look
        self._newest: deque[tuple[float, int]] = deque()  # when, and the newest id then
        self._seen: dict[tuple[int, str], int] = {}  # by lane: its newest id

    def clear(self) -> None:
        """Begin anew."""
        self.after = 0
        self._newest.clear()
        self._seen.clear()

    def fresh(self, rows: Iterable[tuple[int | None, str | None, int | None]], now: float) -> list[tuple[int, str]]:
        """Return the lanes with new jobs, of what new_lanes.sql returned at this time (monotonic seconds)."""
        found = []
        for priority, lane, newest in rows:
            if newest is None:
                continue
            if priority is None or lane is None:
                self._newest.append((now, newest))
            elif self._seen.get((priority, lane), 0) < newest:
                self._seen[priority, lane] = newest
                found.append((priority, lane))
        while self._newest and self._newest[0][0] <= now - BACK:
            self.after = max(self.after, self._newest.popleft()[1])
        self._seen = {lane: newest for lane, newest in self._seen.items() if newest > self.after}
        return found
