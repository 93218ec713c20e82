"""Declare what this process has declared, as a supervisor does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs.events.subscribe import declared_subscriptions, declared_topics
from pgjobs.events.sync import DeclaredSubscriptions, DeclaredTopics
from pgjobs.payload.pickling import Call, load
from pgjobs.schedules.sync import Declaration, DeclaredKind

if TYPE_CHECKING:
    import psycopg


def declare(conn: psycopg.Connection, declaration: Declaration | None = None) -> Declaration:
    """Write the declarations of this process, and give the supervisor for which that was done."""
    declaration = declaration or Declaration("shop")
    subscriptions, topics = declared_subscriptions(), declared_topics()
    declared: list[DeclaredKind] = [DeclaredSubscriptions.of(subscriptions), DeclaredTopics.of(topics)]
    declaration.send_heartbeat(conn, {}, declared)
    return declaration


def jobs(conn: psycopg.Connection) -> list[tuple[Any, ...]]:
    """List the jobs: task and event's topic, in their order."""
    rows = conn.execute("SELECT task, payload FROM pgjobs.jobs ORDER BY id").fetchall()
    return [(task, call(task, payload).args[0].topic) for task, payload in rows]


def call(task: str, payload: bytes) -> Call:
    """Load what a worker would."""
    return load(payload, task)
