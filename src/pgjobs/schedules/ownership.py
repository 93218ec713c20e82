"""Whose declarations of schedules count. Pure; the rows are those of `schedule_owners`.

A declarer is a supervisor that imports code. A schedule lives as long as a declarer that counts names it:

- who is alive counts, so two versions of an application side by side, as in a rolling deployment, have the schedules
  of both, and two kinds of workers of one application those of each kind;
- who has ended counts on, until another one that imports the same has started after it: this one has taken its place.
  With nobody in its place it counts for a week, so a service that is down keeps its schedules.

How a schedule looks that several declare, the one says that was started last, of those alive.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

EVERY = 20.0  # seconds between two beats of a declarer
ALIVE_FOR = timedelta(seconds=90)  # after its last beat
COUNTS_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ScheduleOwner:
    """A supervisor and the names of the schedules in its code. `role`: the same for all that import the same."""

    id: UUID
    role: str
    names: frozenset[str]
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None = None

    def is_alive(self, now: datetime) -> bool:
        """Say whether it works."""
        return self.ended_at is None and now - self.seen_at < ALIVE_FOR

    def is_before(self, other: ScheduleOwner) -> bool:
        """Say whether the other one was started later."""
        return (self.started_at, self.id) < (other.started_at, other.id)


def counting(owners: Collection[ScheduleOwner], now: datetime) -> list[ScheduleOwner]:
    """Give those that count."""
    alive = [owner for owner in owners if owner.is_alive(now)]
    return alive + [
        ended
        for ended in owners
        if not ended.is_alive(now)
        and now - (ended.ended_at or ended.seen_at) < COUNTS_FOR
        and not any(other.role == ended.role and ended.is_before(other) for other in alive)
    ]


def kept(owners: Collection[ScheduleOwner], now: datetime) -> set[str]:
    """Give the names of the schedules that stay."""
    return {name for owner in counting(owners, now) for name in owner.names}


def decided_by(me: UUID, owners: Collection[ScheduleOwner], now: datetime) -> set[str]:
    """Give the names of the schedules of which this one says how they look."""
    newest: dict[str, ScheduleOwner] = {}
    for owner in owners:
        if owner.is_alive(now):
            for name in owner.names:
                if name not in newest or newest[name].is_before(owner):
                    newest[name] = owner
    return {name for name, owner in newest.items() if owner.id == me}
