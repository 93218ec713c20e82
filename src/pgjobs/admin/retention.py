"""History: how long what has finished is kept, and the days that are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.core.errors import UsageError
from pgjobs.db.query import fetch, fetch_dicts

if TYPE_CHECKING:
    from datetime import date, datetime

    import psycopg

MAX_DAYS = 36_500


@dataclass(frozen=True)
class Retention:
    """For how many days finished jobs and dead letters are kept (None: for ever), the same for all workers.

    `applied_at`: when a worker last looked for what is older (None: the next one to look will).
    """

    history_days: int | None
    dead_letter_days: int | None
    applied_at: datetime | None


@dataclass(frozen=True)
class HistoryDay:
    """A partition of history: a `day` (UTC), or what belongs to none that was made (None).

    `bytes`: on disk, with indexes. `jobs`: how many PostgreSQL believes to be in it (None: it has not counted yet).
    `until`: when it may be dropped (None: never).
    """

    name: str
    day: date | None
    bytes: int
    jobs: int | None
    until: datetime | None


def show_retention(conn: psycopg.Connection) -> Retention:
    """Say how long what has finished is kept."""
    return fetch(conn, "get_retention", Retention)[0]


def list_history(conn: psycopg.Connection) -> list[HistoryDay]:
    """List the partitions of history, the oldest day first."""
    return fetch(conn, "history_days", HistoryDay)


def list_expired_days(conn: psycopg.Connection, days: int) -> list[date]:
    """List the days that would be dropped if finished jobs were kept for so many days."""
    return [row["day"] for row in fetch_dicts(conn, "old_history_days", days=check_days(days))]


def count_expired_dead(conn: psycopg.Connection, days: int) -> int:
    """Count the dead letters that would be removed if they were kept for so many days."""
    letters: int = fetch_dicts(conn, "count_dead_before", days=check_days(days))[0]["letters"]
    return letters


def keep_history(conn: psycopg.Connection, days: int | None) -> None:
    """Keep finished jobs for so many days (None: for ever). Workers do the rest within about a minute.

    Raises:
        UsageError: it is no number of days.

    """
    fetch_dicts(conn, "set_history_retention", days=check_days(days))


def keep_dead(conn: psycopg.Connection, days: int | None) -> None:
    """Keep dead letters for so many days after their death (None: for ever), as `keep_history` does for jobs.

    Raises:
        UsageError: it is no number of days.

    """
    fetch_dicts(conn, "set_dead_retention", days=check_days(days))


def check_days(days: int | None) -> int | None:
    """Give the number of days back, or None.

    Raises:
        UsageError: it is neither.

    """
    if days is not None and (isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MAX_DAYS):
        raise UsageError(f"{days!r} is no number of days to keep: give 1 to {MAX_DAYS:,}, or forever.")
    return days
