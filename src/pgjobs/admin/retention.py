"""History: how long finished jobs and dead letters are kept, and the days that are there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.db.adapters.operations import operation
from pgjobs.db.query import fetch, fetch_dicts

if TYPE_CHECKING:
    from datetime import date, datetime

    import psycopg

MAX_DAYS = 36_500


@dataclass(frozen=True)
class Retention:
    """For how many days finished jobs and dead letters are kept (None: forever), the same for all workers.

    `minute_days`: how long what happened in each minute is. `applied_at`: when a worker last removed what is older
    (None: not since the last change).
    """

    history_days: int | None
    dead_letter_days: int | None
    minute_days: int
    applied_at: datetime | None


@dataclass(frozen=True)
class HistoryDay:
    """A partition of history. `day`: in UTC (None: the default partition, for jobs of a day without one).

    `bytes`: on disk, with indexes. `jobs`: PostgreSQL's estimate (None: it has none yet). `until`: when it may be
    dropped (None: never).
    """

    name: str
    day: date | None
    bytes: int
    jobs: int | None
    until: datetime | None


@operation
def show_retention(conn: psycopg.Connection) -> Retention:
    """Return how long finished jobs and dead letters are kept."""
    return fetch(conn, "get_retention", Retention)[0]


@operation
def list_history(conn: psycopg.Connection) -> list[HistoryDay]:
    """List the partitions of history, the oldest day first."""
    return fetch(conn, "history_days", HistoryDay)


@operation
def list_expired_days(conn: psycopg.Connection, days: int | timedelta) -> list[date]:
    """List the days that would be dropped if finished jobs were kept for `days`."""
    return [row["day"] for row in fetch_dicts(conn, "old_history_days", days=check_days(days))]


@operation
def count_expired_dead(conn: psycopg.Connection, days: int | timedelta) -> int:
    """Count the dead letters that would be removed if they were kept for `days`."""
    letters: int = fetch_dicts(conn, "count_dead_before", days=check_days(days))[0]["letters"]
    return letters


@operation
def keep_history(conn: psycopg.Connection, days: int | timedelta | None) -> None:
    """Keep finished jobs for `days` (None: forever). Workers remove what is older, from about a minute on.

    Raises:
        UsageError: the number is not from 1 to 36,500.

    """
    fetch_dicts(conn, "set_history_retention", days=check_days(days))


@operation
def keep_dead(conn: psycopg.Connection, days: int | timedelta | None) -> None:
    """Keep dead letters for `days` after the job died (None: forever), as `keep_history` does for jobs.

    Raises:
        UsageError: the number is not from 1 to 36,500.

    """
    fetch_dicts(conn, "set_dead_retention", days=check_days(days))


@operation
def keep_minutes(conn: psycopg.Connection, days: int | timedelta) -> None:
    """Keep what happened in each minute for `days`: it is what charts are made of.

    Raises:
        UsageError: the number is not from 1 to 36,500.

    """
    number = check_days(days)
    if number is None:
        raise UsageError("minutes are not kept forever: give a number of days, such as 30.")
    fetch_dicts(conn, "set_minute_retention", days=number)


def check_days(days: int | timedelta | None) -> int | None:
    """Return the number of days, given as one or as a timedelta of whole days, or None.

    Raises:
        UsageError: it is not from 1 to 36,500.

    """
    if isinstance(days, timedelta) and days % timedelta(days=1) == timedelta():
        days = days.days
    if days is not None and (isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MAX_DAYS):
        raise UsageError(
            f"{shorten_repr(days)} is not a number of days to keep: give 1 to {MAX_DAYS:,}, also as a timedelta, or "
            "forever."
        )
    return days
