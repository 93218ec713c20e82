"""The rows of `breakers`: read one under its lock, and write its new state."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.db.encoding import encoding_of
from pgjobs.db.statements import statement
from pgjobs.flow.breaker import Breaker
from pgjobs.flow.breaker_state import BreakerState, Bucket

if TYPE_CHECKING:
    import psycopg


class Locked(NamedTuple):
    """A breaker's state and settings, and PostgreSQL's time (seconds since 1970), under the lock of its row."""

    circuit: BreakerState
    breaker: Breaker
    now: float


def declare_breaker(cursor: psycopg.Cursor[Any], breaker: Breaker) -> None:
    """Write the settings of a breaker; its state is kept."""
    cursor.execute(
        statement("declare_breaker"),
        {
            "name": breaker.name,
            "failures": breaker.failures,
            "period": breaker.window,
            "min_calls": breaker.min_calls,
            "cooldown": breaker.cooldown,
            "probes": breaker.probes,
        },
    )


def lock_breaker(cursor: psycopg.Cursor[Any], name: str, code: Breaker | None = None) -> Locked:
    """Lock a breaker until the transaction ends, and read it.

    A missing one (never declared, or removed) gets the settings of `code`, or the default ones.
    """
    row = cursor.execute(statement("lock_breaker"), {"name": name}).fetchone()
    if row is None:
        declare_breaker(cursor, code or Breaker(name))
        row = cursor.execute(statement("lock_breaker"), {"name": name}).fetchone()
    assert row is not None  # noqa: S101 (for mypy: declaring it has locked the row)
    state, until, forced, since, calls, streak, passed, reason, failures, window, min_calls, cooldown, probes, now = row
    circuit = BreakerState(
        state,
        -math.inf if until is None else until,
        forced,
        -math.inf if since is None else since,
        window_of(calls),
        streak,
        passed,
        reason,
    )
    return Locked(circuit, Breaker(name, failures, window, min_calls, cooldown, probes), now)


def write_breaker(cursor: psycopg.Cursor[Any], name: str, circuit: BreakerState, by: str | None) -> None:
    """Write the state; `by`: who changed it, or None when it has only counted."""
    cursor.execute(
        statement("write_breaker"),
        {
            "name": name,
            "state": circuit.state,
            "until": None if circuit.until == -math.inf else circuit.until,
            "forced": circuit.forced,
            "since": None if circuit.since == -math.inf else circuit.since,
            "streak": circuit.streak,
            "passed": circuit.passed,
            "calls": json.dumps(circuit.window),
            "reason": circuit.reason,
            "by": None if by is None else encoding_of(cursor.connection).stored(by),
        },
    )


def window_of(calls: Any) -> tuple[Bucket, ...]:
    """Read the column `calls`; what makes no sense there counts as nothing."""
    try:
        return tuple(Bucket(float(began), int(succeeded), int(failed)) for began, succeeded, failed in calls)
    except (TypeError, ValueError, OverflowError):
        return ()
