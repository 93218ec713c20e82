"""Subscriptions to events: list, pause, resume, remove, and replay what topics have kept.

They are declared in code, by `pgjobs.subscribe`; here they can be paused, but not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pgjobs.admin.pauses import pause_task, resume_task
from pgjobs.core.durations import check_duration
from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.core.validate import MIN_DATETIME, Seconds, check_datetime, check_name, has_type
from pgjobs.db.adapters.operations import operation
from pgjobs.db.query import clock, fetch, fetch_dicts

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

MAX_SUBSCRIPTION_NAME = 200  # characters
EVENTS_PER_STEP = 500


@dataclass(frozen=True)
class SubscriptionRow:
    """A subscription as it is listed.

    `app`: whose code declares it. `state`: active; paused: its jobs wait; dropping: its events are dropped; or retired:
    no code declares it now.
    """

    name: str
    id: int
    app: str
    pattern: str
    queue: str
    priority: int
    max_attempts: int
    state: str
    drops_since: datetime | None
    paused_at: datetime | None
    retired_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class TopicRow:
    """A topic that keeps its events. `state`: active, or retired: it keeps no new ones."""

    pattern: str
    app: str
    keep: timedelta
    state: str
    retired_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Replay:
    """What a replay did: how many kept events it looked at, and how many jobs it made."""

    seen: int
    made: int


@operation
def list_subscriptions(conn: psycopg.Connection) -> list[SubscriptionRow]:
    """List all subscriptions, by name."""
    return fetch(conn, "list_subscriptions", SubscriptionRow, subscription=None)


@operation
def list_topics(conn: psycopg.Connection) -> list[TopicRow]:
    """List the topics that keep their events."""
    return fetch(conn, "list_topics", TopicRow)


@operation
def show_subscription(conn: psycopg.Connection, name: str) -> SubscriptionRow:
    """Return one subscription.

    Raises:
        NotFoundError: there is no subscription of that name.

    """
    checked = check_name("name", name, MAX_SUBSCRIPTION_NAME)
    found = fetch(conn, "list_subscriptions", SubscriptionRow, subscription=checked)
    if not found:
        raise NotFoundError(f"There is no subscription {name!r}: `pgjobs subscriptions list` shows what there is.")
    return found[0]


@operation
def pause_subscription(conn: psycopg.Connection, name: str, *, drop: bool = False) -> bool:
    """Pause a subscription; return False if it was paused so already. A deployment does not resume it.

    Its events become jobs that wait, as `pause_task` has it. `drop`: they are dropped instead, until it is resumed;
    the jobs that it has run on.

    Raises:
        NotFoundError: there is no subscription of that name.

    """
    show_subscription(conn, name)
    return bool(fetch_dicts(conn, "drop_events", subscription=name)) if drop else pause_task(conn, name)


@operation
def resume_subscription(
    conn: psycopg.Connection, name: str, *, on_progress: Callable[[int], None] | None = None
) -> bool:
    """Resume a subscription, however it was paused; return False if it was not. Events that were dropped are lost.

    `on_progress`: as for `resume_task`.

    Raises:
        NotFoundError: there is no subscription of that name.

    """
    show_subscription(conn, name)
    dropped = bool(fetch_dicts(conn, "stop_dropping_events", subscription=name))
    return resume_task(conn, name, on_progress=on_progress) or dropped


@operation
def remove_subscription(conn: psycopg.Connection, name: str) -> None:
    """Remove a retired subscription. Its jobs stay.

    Raises:
        NotFoundError: there is no subscription of that name.
        UsageError: code declares it, and would declare it again.

    """
    row = show_subscription(conn, name)
    if not fetch_dicts(conn, "remove_subscription", subscription=name):
        raise UsageError(
            f"the subscription {name!r} is declared in the code of {row.app}, which would declare it again: remove it "
            "there, or pause it."
        )


@operation
def replay_events(
    conn: psycopg.Connection,
    name: str,
    *,
    since: datetime | Seconds | str | None = None,
    until: datetime | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Replay:
    """Make jobs of the events that topics have kept, for one subscription: of all that it has had no job for.

    An event gets one job of each subscription, however often this is called. It is done in batches, each a transaction
    of its own unless the caller has one; after an interruption, call it again.

    Args:
        conn: a connection.
        name: of the subscription.
        since: from when on: a datetime with a time zone, or how long ago, such as "7d". None: all that is kept.
        until: up to when; None: now.
        on_progress: called after each batch, with the number of jobs made so far.

    Raises:
        NotFoundError: there is no subscription of that name.
        UsageError: no code declares it now, or a time cannot be used.

    """
    row, now = show_subscription(conn, name), clock(conn)
    if row.state == "retired":
        raise UsageError(f"no code declares the subscription {name!r} now, so it gets no events.")
    start = _time(since, now)
    end = now if until is None else check_datetime("until", until)
    seen = made = 0
    last = (start, 0)
    while True:
        (step,) = fetch_dicts(
            conn,
            "replay_events",
            receiver=row.id,
            since=start,
            until=end,
            after_at=last[0],
            after_id=last[1],
            batch=EVENTS_PER_STEP,
        )
        seen, made = seen + step["seen"], made + step["made"]
        if on_progress and step["made"]:
            on_progress(made)
        if step["seen"] < EVENTS_PER_STEP:
            return Replay(seen, made)
        last = (step["last_at"], step["last_id"])


def _time(since: datetime | Seconds | str | None, now: datetime) -> datetime:
    from datetime import datetime

    if since is None:
        return MIN_DATETIME
    if has_type(since, datetime):
        return check_datetime("since", since)
    return now - timedelta(seconds=check_duration("since", since, least=0.0))
