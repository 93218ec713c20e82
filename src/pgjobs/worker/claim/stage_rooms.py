"""How many items of pipelines a claim may take: as many as their next stages have room for.

A queue in whose lanes no items were seen of late asks nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from pgjobs.db.statements import statement
from pgjobs.flow.stage import stage_of_lane

STAGE = "stage:"  # what a stage is called among the keys that hold lanes up
SEEN_FOR = 60.0  # seconds for which a stage is looked at after the last of its lanes was seen


class _Lane(Protocol):
    @property
    def priority(self) -> int: ...
    @property
    def lane(self) -> str: ...


L = TypeVar("L", bound=_Lane)


class Rooms:
    """How many items of each stage may start in one claim. A stage that is not in it has no bound."""

    def __init__(self) -> None:
        self._rooms: dict[str, int | None] = {}

    def read(self, cursor: Any, stages: Iterable[str]) -> None:
        """Ask how much room these stages have."""
        missing = sorted(set(stages) - self._rooms.keys())
        if missing:
            self._rooms.update(cursor.execute(statement("rooms_of_stages"), {"stages": missing}).fetchall())

    @property
    def full(self) -> list[str]:
        """The stages of which none may start."""
        return [stage for stage, room in self._rooms.items() if room is not None and room <= 0]

    def most(self, stage: str | None, wanted: int) -> int:
        """Return how many of the wanted items may start."""
        room = self._rooms.get(stage or "")
        return wanted if room is None else min(wanted, room)

    def take(self, stage: str | None, items: int) -> None:
        """Take the room of items that were claimed."""
        room = self._rooms.get(stage or "")
        if stage is not None and room is not None:
            self._rooms[stage] = room - items


class StageRooms:
    """The stages whose items wait in one queue. `now`: seconds of a monotonic clock. For one thread."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def look(self, cursor: Any, now: float) -> Rooms:
        """Return how much room they have now."""
        rooms = Rooms()
        if self._seen:
            self._seen = {stage: at for stage, at in self._seen.items() if now - at < SEEN_FOR}
            rooms.read(cursor, self._seen)
        return rooms

    def by_stage(self, cursor: Any, lanes: list[L], rooms: Rooms, now: float) -> list[tuple[str | None, list[L]]]:
        """Return these lanes by their stage, those of better priorities first. Most queues have none of a stage."""
        stages = {lane.lane: stage for lane in lanes if (stage := stage_of_lane(lane.lane)) is not None}
        if not stages:
            return [(None, lanes)]
        self._seen.update(dict.fromkeys(stages.values(), now))
        rooms.read(cursor, stages.values())
        groups: dict[tuple[int, str | None], list[L]] = {}
        for lane in lanes:
            groups.setdefault((lane.priority, stages.get(lane.lane)), []).append(lane)
        return [(stage, some) for (_, stage), some in groups.items()]
