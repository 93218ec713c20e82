"""Limits of keys: list, set, remove. Workers follow within a second."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pgjobs.db.query import fetch_dicts
from pgjobs.flow.limits import NO_LIMIT, Limit, check_limit_name, check_no_template
from pgjobs.flow.rates import Rate, refill

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

MAX_WAITING = 10_000  # rows that a listing looks at
MAX_KEYS = 10  # of one limit in a listing
MAX_HOLDERS = 10  # ids of running jobs for each key


@dataclass(frozen=True)
class Key:
    """A key that runs or waits now. `holders`: ids of jobs that run, the oldest ones; `tokens` left of a rate."""

    key: str
    running: int
    waiting: int
    tokens: float | None
    holders: list[int]


@dataclass(frozen=True)
class KeyLimit:
    """A limit, and the keys for which it holds that run or wait now, the busiest first.

    `rate`: so many starts per `period_seconds`. `set_by`: code or operator. `running`, `waiting`: jobs of all its keys;
    `waiting_capped`: more wait than were counted. A limit without concurrency and rate limits nothing.
    """

    name: str
    concurrency: int | None
    rate: float | None
    period_seconds: float | None
    burst: float | None
    set_by: str
    updated_at: datetime
    running: int
    waiting: int
    waiting_capped: bool
    busy_keys: int
    keys: list[Key]


def list_limits(conn: psycopg.Connection) -> list[KeyLimit]:
    """List the limits by name, with who holds them and who waits for them."""
    rows = fetch_dicts(conn, "list_limits", most=MAX_WAITING, holders=MAX_HOLDERS)
    return [_limit(list(of_one)) for _, of_one in groupby(rows, key=lambda row: row["name"])]


def set_limit(conn: psycopg.Connection, name: str, limit: Limit) -> None:
    """Set a limit: what it leaves out is not limited. What runs already is not stopped.

    Raises:
        UsageError: it is no name of a limit, or a template.

    """
    fetch_dicts(conn, "set_limit", key=check_no_template(check_limit_name(name)), **limit.columns())


def remove_limit(conn: psycopg.Connection, name: str) -> bool | None:
    """Remove a limit: its pattern holds again, if there is one. None: there was none; True: code declares it.

    Then it comes back with the next worker that starts; to lift it, set it to `NO_LIMIT`.

    Raises:
        UsageError: it is no name of a limit.

    """
    rows = fetch_dicts(conn, "remove_limit", key=check_limit_name(name))
    return bool(rows[0]["declared"]) if rows else None


def limit_of(concurrency: int | None, rate: float | None, period: float | None, burst: float | None) -> Limit:
    """Make a limit of the columns."""
    if rate is None or period is None:
        return NO_LIMIT if concurrency is None else Limit(concurrency)
    return Limit(concurrency, Rate(rate, period), burst)


def _limit(rows: list[dict[str, Any]]) -> KeyLimit:
    first = rows[0]
    busy = [row for row in rows if row["running"] or row["waiting"]]
    # A limit of one key has tokens to show also while nobody runs.
    shown = busy[:MAX_KEYS] or [row for row in rows if row["key"] == first["name"] and not first["name"].endswith("*")]
    return KeyLimit(
        name=first["name"],
        concurrency=first["concurrency"],
        rate=first["rate"],
        period_seconds=first["period"],
        burst=first["burst"],
        set_by=first["set_by"],
        updated_at=first["updated_at"],
        running=sum(row["running"] for row in busy),
        waiting=sum(row["waiting"] for row in busy),
        waiting_capped=not first["counted"],
        busy_keys=len(busy),
        keys=[_key(row) for row in shown],
    )


def _key(row: dict[str, Any]) -> Key:
    limit = limit_of(row["concurrency"], row["rate"], row["period"], row["burst"])
    tokens = None
    if limit.rate is not None:
        tokens = round(refill(row["tokens"], row["at"] or row["now"], row["now"], limit.rate, limit.burst), 3)
    return Key(row["key"], row["running"], row["waiting"], tokens, row["holders"])
