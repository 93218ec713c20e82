"""Writes the subscriptions and topics that code declares, and retires those that no code declares.

Which of them one supervisor writes is decided as for schedules: see `schedules/ownership.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pgjobs.db.encoding import encoding_of
from pgjobs.db.statements import statement
from pgjobs.events.subscription import StoredSubscription, StoredTopic, storable

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.scheduler")


@dataclass
class DeclaredSubscriptions:
    """The subscriptions that the code of one supervisor declares."""

    kind: ClassVar[str] = "subscriptions"
    declared: dict[str, StoredSubscription]
    _complained: set[str] = field(default_factory=set, compare=False)

    @classmethod
    def of(cls, subscriptions: Iterable[StoredSubscription]) -> DeclaredSubscriptions:
        """Return them by name."""
        return cls({each.name: each for each in subscriptions})

    def write(self, cursor: psycopg.Cursor[dict[str, Any]], names: set[str]) -> None:
        """Write these of them, which this supervisor decides about."""
        if not names:
            return
        rows = cursor.execute(statement("lock_subscriptions"), {"names": sorted(names)}).fetchall()
        there = {row["name"]: row for row in rows}
        for name in sorted(names):  # in one order, so that supervisors do not deadlock
            declared, row = self.declared[name], there.get(name)
            if row is not None and row["app"] != declared.app:
                self._complain(name, f"{declared.app}: the application {row['app']} has one of that name; rename it")
                continue
            digest = declared.digest()
            if row is not None and row["digest"] == digest and row["retired_at"] is None:
                continue
            made = storable(cursor.connection, declared)
            if made is None:
                lacking = encoding_of(cursor.connection).database
                self._complain(name, f"{declared.app}: it has a character that the database lacks ({lacking})")
                continue
            cursor.execute(statement("upsert_subscription"), {**made.row_values(), "digest": digest}, binary=False)
            log.info("subscription %s: %s", name, declared.pattern)

    def retire(self, cursor: psycopg.Cursor[dict[str, Any]], kept: set[str]) -> None:
        """Retire all, of any supervisor, but these."""
        cursor.execute(statement("retire_subscriptions"), {"kept": sorted(kept)})
        for row in cursor.fetchall():
            log.info("subscription %s is no longer in the code of %s: it is retired", row["name"], row["app"])
        cursor.execute(statement("purge_subscriptions"))

    def _complain(self, name: str, reason: str) -> None:
        if name not in self._complained:
            self._complained.add(name)
            log.error("subscription %s is not written, of %s", name, reason)


@dataclass
class DeclaredTopics:
    """The topics that keep their events, as the code of one supervisor declares them."""

    kind: ClassVar[str] = "topics"
    declared: dict[str, StoredTopic]

    @classmethod
    def of(cls, topics: Iterable[StoredTopic]) -> DeclaredTopics:
        """Return them by pattern."""
        return cls({each.pattern: each for each in topics})

    def write(self, cursor: psycopg.Cursor[dict[str, Any]], names: set[str]) -> None:
        """Write these of them, which this supervisor decides about."""
        if not names:
            return
        rows = [self.declared[pattern].row_values() for pattern in sorted(names)]
        values = {f"{name}s": [row[name] for row in rows] for name in ("pattern", "app", "keep")}
        for row in cursor.execute(statement("upsert_topics"), values).fetchall():
            log.info("events of %s are kept", row["pattern"])

    def retire(self, cursor: psycopg.Cursor[dict[str, Any]], kept: set[str]) -> None:
        """Retire all, of any supervisor, but these."""
        cursor.execute(statement("retire_topics"), {"kept": sorted(kept)})
        for row in cursor.fetchall():
            log.info("topic %s is no longer in the code of %s: it keeps no more events", row["pattern"], row["app"])
