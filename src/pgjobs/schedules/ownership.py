"""Which supervisors' declarations of schedules count, and of subscriptions and topics, in the same way. Pure.

The rows are those of `schedule_owners`.

An owner is a supervisor that imports code. A schedule is kept as long as an owner that counts names it:

- a live owner counts, so two versions of an application side by side, as in a rolling deployment, have the schedules of
  both, and two kinds of workers of one application the schedules of each kind;
- an owner that has ended counts until another one that imports the same code starts after it and takes its place.
  Without a successor it counts for a week, so a service that is down keeps its schedules.

If several owners declare a schedule, the live one that was started last defines it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

EVERY = 20.0  # seconds between two heartbeats of an owner
ALIVE_FOR = timedelta(seconds=90)  # after its last heartbeat
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
        """Return True if it is alive."""
        return self.ended_at is None and now - self.seen_at < ALIVE_FOR

    def is_before(self, other: ScheduleOwner) -> bool:
        """Return True if `other` was started later."""
        return (self.started_at, self.id) < (other.started_at, other.id)


def counting(owners: Collection[ScheduleOwner], now: datetime) -> list[ScheduleOwner]:
    """Return the owners that count."""
    alive = [owner for owner in owners if owner.is_alive(now)]
    return alive + [
        ended
        for ended in owners
        if not ended.is_alive(now)
        and now - (ended.ended_at or ended.seen_at) < COUNTS_FOR
        and not any(other.role == ended.role and ended.is_before(other) for other in alive)
    ]


def kept(owners: Collection[ScheduleOwner], now: datetime) -> set[str]:
    """Return the names of the schedules that are kept."""
    return {name for owner in counting(owners, now) for name in owner.names}


def decided_by(me: UUID, owners: Collection[ScheduleOwner], now: datetime) -> set[str]:
    """Return the names of the schedules that owner `me` defines."""
    newest: dict[str, ScheduleOwner] = {}
    for owner in owners:
        if owner.is_alive(now):
            for name in owner.names:
                if name not in newest or newest[name].is_before(owner):
                    newest[name] = owner
    return {name for name, owner in newest.items() if owner.id == me}
