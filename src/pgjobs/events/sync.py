"""Writes the subscriptions and topics that code declares: see `db/declared_rows.py`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pgjobs.db.declared_rows import DeclaredRows
from pgjobs.db.statements import statement
from pgjobs.events.subscription import StoredSubscription, StoredTopic, storable

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.scheduler")


class DeclaredSubscriptions(DeclaredRows[StoredSubscription]):
    """The subscriptions that the code of one supervisor declares."""

    kind: ClassVar[str] = "subscriptions"
    noun: ClassVar[str] = "subscription"
    locking: ClassVar[str] = "lock_subscriptions"
    retiring: ClassVar[str] = "retire_subscriptions"
    purging: ClassVar[str] = "purge_subscriptions"

    @classmethod
    def of(cls, subscriptions: Iterable[StoredSubscription]) -> DeclaredSubscriptions:
        """Return them by name."""
        return cls({each.name: each for each in subscriptions})

    def store(self, cursor: psycopg.Cursor[dict[str, Any]], declared: StoredSubscription, digest: bytes) -> str | None:
        """Write a subscription."""
        made = storable(cursor.connection, declared)
        if made is None:
            return None
        cursor.execute(statement("upsert_subscription"), {**made.row_values(), "digest": digest}, binary=False)
        return declared.pattern


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
