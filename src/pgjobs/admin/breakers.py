"""Circuit breakers: list them, open and close them by hand, and remove them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import Seconds, as_seconds
from pgjobs.db.adapters.operations import operation
from pgjobs.db.breakers import lock_breaker, window_of, write_breaker
from pgjobs.db.query import fetch_dicts
from pgjobs.flow.breaker import MAX_COOLDOWN, check_breaker_name
from pgjobs.flow.breaker_state import by_itself, closed_by_hand, open_by_hand, totals, within

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

    from pgjobs.db.breakers import Locked
    from pgjobs.flow.breaker_state import BreakerState, BreakerStatus


@dataclass(frozen=True)
class BreakerInfo:
    """A circuit breaker, as it is now.

    `state`: closed, open or half_open; an open one whose time is over is half_open. `until`: an open breaker lets no
    job through before that (the year 9999: until it is closed by hand). `forced`: an operator has set the state.
    `calls`, `failed`: jobs of the last `window` seconds, counted while it is closed. `passed`: probes that succeeded.
    `running`: its jobs that run. The rest is as in `Breaker`.
    """

    name: str
    state: BreakerStatus
    forced: bool
    until: datetime | None
    reason: str | None
    changed_at: datetime | None
    changed_by: str | None
    calls: int
    failed: int
    passed: int
    running: int
    failures: float
    window: float
    min_calls: int
    cooldown: float
    probes: int


@operation
def list_breakers(conn: psycopg.Connection) -> list[BreakerInfo]:
    """List the breakers that a worker has seen or an operator has set, by name."""
    return [_state_of(row) for row in fetch_dicts(conn, "list_breakers", only=None)]


@operation
def show_breaker(conn: psycopg.Connection, name: str) -> BreakerInfo:
    """Return one breaker.

    Raises:
        UsageError: the name cannot be one of a breaker.
        NotFoundError: there is no breaker of that name.

    """
    found = fetch_dicts(conn, "list_breakers", only=check_breaker_name(name))
    if not found:
        raise _unknown(name)
    return _state_of(found[0])


@operation
def open_breaker(conn: psycopg.Connection, name: str, seconds: Seconds | None = None, *, by: str = "operator") -> None:
    """Open a breaker: none of its jobs is claimed for `seconds`, or (None) until it is closed by hand.

    After the seconds, probes decide. A breaker that no worker has seen yet can be opened, too. `by`: the name that
    `pgjobs breakers` shows for the change.

    Raises:
        UsageError: the name cannot be one of a breaker, or the seconds are not from 0 to 30 days.

    """
    number = math.inf if seconds is None else as_seconds(seconds)
    if number is None or not number > 0 or (seconds is not None and number > MAX_COOLDOWN):
        raise UsageError(
            f"{shorten_repr(seconds)}: give seconds above 0, up to {MAX_COOLDOWN:,.0f} (30 days), or a timedelta."
        )
    _write(conn, name, lambda locked: open_by_hand(number, locked.now), by)


@operation
def close_breaker(conn: psycopg.Connection, name: str, *, stay: bool = False, by: str = "operator") -> None:
    """Close a breaker: all its jobs are let through, and it decides by itself again, with all counts at 0.

    `stay`: it stays closed whatever fails, until `auto_breaker` or `open_breaker`.

    Raises:
        UsageError: the name cannot be one of a breaker.

    """
    _write(conn, name, lambda locked: closed_by_hand(locked.now, stay=stay), by)


@operation
def auto_breaker(conn: psycopg.Connection, name: str, *, by: str = "operator") -> None:
    """Return a breaker to deciding by itself. One that is not closed lets probes through at once.

    Raises:
        UsageError: the name cannot be one of a breaker.

    """
    _write(conn, name, lambda locked: by_itself(locked.circuit, locked.now), by)


@operation
def remove_breaker(conn: psycopg.Connection, name: str) -> None:
    """Remove a breaker: its jobs continue. When the next of them ends, the breaker comes back, closed.

    Raises:
        UsageError: the name cannot be one of a breaker.
        NotFoundError: there is no breaker of that name.

    """
    name = check_breaker_name(name)
    with conn.transaction():
        removed = fetch_dicts(conn, "remove_breaker", breaker=name)
        if not removed:
            raise _unknown(name)
        if removed[0]["state"] != "closed":
            fetch_dicts(conn, "notify_all_queues")  # its jobs may wait in any queue


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"There is no breaker {name!r}: `pgjobs breakers list` shows those that a worker has seen.")


def _write(conn: psycopg.Connection, name: str, decide: Callable[[Locked], BreakerState], by: str) -> None:
    name = check_breaker_name(name)
    with conn.transaction(), conn.cursor() as cursor:
        circuit = decide(lock_breaker(cursor, name))
        write_breaker(cursor, name, circuit, by)
        if circuit.state != "open":
            fetch_dicts(conn, "notify_all_queues")  # its jobs may wait in any queue


def _state_of(row: dict[str, Any]) -> BreakerInfo:
    now, calls = row.pop("now"), window_of(row.pop("calls"))
    ended, failed = totals(within(calls, row["window"], now.timestamp()))
    over = row["state"] == "open" and row["until"] <= now
    state: BreakerStatus = "half_open" if over else row["state"]
    row |= {"state": state, "forced": row["forced"] and not over}
    return BreakerInfo(**row, calls=ended, failed=failed)
