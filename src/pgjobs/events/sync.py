"""Writes the subscriptions and topics that code declares, and retires those that no code declares.

Which of them one supervisor writes is decided as for schedules: see `schedules/ownership.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pgjobs.db.encoding import encoding_of
from pgjobs.db.statements import statement
from pgjobs.events.subscription import StoredSubscription, StoredTopic, storable

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.scheduler")


class DeclaredEvents:
    """What the code of one supervisor declares of events."""

    def __init__(self, subscriptions: Iterable[StoredSubscription], topics: Iterable[StoredTopic]) -> None:
        self.subscriptions = {each.name: each for each in subscriptions}
        self.topics = {each.pattern: each for each in topics}
        self._complained: set[str] = set()

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> DeclaredEvents:
        """Return what a worker process has imported."""
        return cls(
            map(StoredSubscription.from_message, message["subscriptions"]),
            (StoredTopic(**each) for each in message["topics"]),
        )

    def __bool__(self) -> bool:
        return bool(self.subscriptions or self.topics)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DeclaredEvents):
            return NotImplemented
        return (self.subscriptions, self.topics) == (other.subscriptions, other.topics)

    __hash__ = None  # type: ignore[assignment]  # it is compared, and never a key

    def write(self, cursor: psycopg.Cursor[dict[str, Any]], subscriptions: set[str], topics: set[str]) -> None:
        """Write these of them, which this supervisor decides about."""
        self._write_subscriptions(cursor, sorted(subscriptions & self.subscriptions.keys()))
        made = [self.topics[pattern] for pattern in sorted(topics & self.topics.keys())]
        if made:
            rows = [each.row_values() for each in made]
            values = {f"{name}s": [row[name] for row in rows] for name in ("pattern", "app", "keep")}
            for row in cursor.execute(statement("upsert_topics"), values).fetchall():
                log.info("events of %s are kept", row["pattern"])

    def retire(self, cursor: psycopg.Cursor[dict[str, Any]], subscriptions: set[str], topics: set[str]) -> None:
        """Retire all, of any supervisor, but these."""
        cursor.execute(statement("retire_subscriptions"), {"kept": sorted(subscriptions)})
        for row in cursor.fetchall():
            log.info("subscription %s is no longer in the code of %s: it is retired", row["name"], row["app"])
        cursor.execute(statement("retire_topics"), {"kept": sorted(topics)})
        for row in cursor.fetchall():
            log.info("topic %s is no longer in the code of %s: it keeps no more events", row["pattern"], row["app"])
        cursor.execute(statement("purge_subscriptions"))

    def _write_subscriptions(self, cursor: psycopg.Cursor[dict[str, Any]], names: list[str]) -> None:
        if not names:
            return
        rows = cursor.execute(statement("lock_subscriptions"), {"names": names}).fetchall()
        there = {row["name"]: row for row in rows}
        for name in names:  # in one order, so that supervisors do not deadlock
            declared, row = self.subscriptions[name], there.get(name)
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

    def _complain(self, name: str, reason: str) -> None:
        if name not in self._complained:
            self._complained.add(name)
            log.error("subscription %s is not written, of %s", name, reason)
