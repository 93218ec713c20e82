"""Fires due schedules: the transaction that enqueues a firing also advances its schedule.

There is no leader. The supervisor that has locked the row fires it; others skip the row, and find it advanced later. A
supervisor that dies in between leaves no trace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg import IsolationLevel
from psycopg.rows import dict_row

from pgjobs.core.errors import ConfigurationError
from pgjobs.core.text import one_line
from pgjobs.db.connection import bounded
from pgjobs.db.encoding import encoding_of
from pgjobs.db.statements import statement
from pgjobs.schedules.cron import firings, parse
from pgjobs.schedules.scheduled import enqueue_scheduled
from pgjobs.schedules.stored_call import has_unique_key

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.scheduler")
_KEY_WITHIN = "200ms"  # for a unique key that a transaction has locked; the schedule stays due


def fire_due(conn: psycopg.Connection[Any], interrupted: Callable[[], bool] = lambda: False) -> int:
    """Fire each due schedule, at most `cron.STEP` firings each, and return the number of firings.

    Raises:
        psycopg.Error: the connection broke. An error of a single schedule is stored in its row.

    """
    conn.isolation_level = IsolationLevel.READ_COMMITTED  # after a wait the advanced row must be visible
    done: list[str] = []
    count = 0
    while not interrupted():
        fired = _fire_one(conn, done)
        if fired is None:
            break
        count += fired
    return count


def _fire_one(conn: psycopg.Connection[Any], done: list[str]) -> int | None:
    """Fire the schedule that has been due longest, and add it to `done`; None: nothing is due."""
    import psycopg

    row: dict[str, Any] | None = None
    try:
        with bounded(conn), conn.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(statement("lock_schedule"), {"done": done}).fetchone()
            if row is None:
                return None
            done.append(row["name"])
            return _fire(conn, row)
    except psycopg.errors.LockNotAvailable:
        if row is None or not has_unique_key(row):
            raise
        log.debug("another transaction has locked the unique key of the schedule %s: it fires later", row["name"])
        return 0
    except (psycopg.OperationalError, psycopg.ProgrammingError, ConfigurationError):
        raise  # the server, the rights, the tables: the schedule is not the cause, and no firing is lost
    except Exception as error:  # a row that was changed by hand, a job that the table refuses
        if row is None or conn.closed:
            raise
        log.error("schedule %s could not fire, and skips to its next time: %s", row["name"], one_line(str(error)))
        _skip(conn, row, one_line(f"{type(error).__name__}: {error}"))
        return 0


def due_firings(row: Mapping[str, Any]) -> tuple[datetime | None, list[datetime]]:
    """Return when a schedule is due next, and the firings that it is due for now."""
    last = row["last_at"]
    step = firings(parse(row["cron"], row["tz"]), row["next_at"], row["now"], row["missed"])
    # When clocks are set back, or a row by hand: what was enqueued is not enqueued again.
    return step.next_at, [firing for firing in step.fire if last is None or firing > last]


def _fire(conn: psycopg.Connection[Any], row: dict[str, Any]) -> int:
    due = row["next_at"]
    next_at, fire = due_firings(row)
    if row["overlap"] == "skip" and fire:
        fire = [] if _is_busy(conn, row["last_job_id"]) else fire[-1:]
    if fire and has_unique_key(row):  # another long transaction must not hold up other schedules
        conn.execute("SELECT set_config('lock_timeout', %s, true)", [_KEY_WITHIN])
    job: int | None = None
    for firing in fire:
        made = enqueue_scheduled(conn, row, firing)
        job = None if made is None else made.id
        if made is not None and made.conflict:
            log.info("schedule %s: no new job for %s, because job %s has the unique key", row["name"], firing, job)
        else:
            log.debug("schedule %s: job %s for %s", row["name"], job, firing)
    _advance(conn, row, next_at, last_at=fire[-1] if fire else None, job=job)
    if fire and fire[0] != due and row["missed"] == "once":
        log.info("schedule %s: job %s is the only one for all firings since %s", row["name"], job, due)
    return len(fire)


def _is_busy(conn: psycopg.Connection[Any], job: int | None) -> bool:
    if job is None:
        return False
    row = conn.execute(statement("schedule_is_busy"), {"job_id": job}).fetchone()
    return row is not None and bool(row[0])


def _skip(conn: psycopg.Connection[Any], row: dict[str, Any], error: str) -> None:
    try:
        next_at = parse(row["cron"], row["tz"]).next(row["now"])
    except Exception:  # until the schedule is fixed
        next_at = None
    _advance(conn, row, next_at, error=error)


def _advance(
    conn: psycopg.Connection[Any],
    row: dict[str, Any],
    next_at: datetime | None,
    *,
    last_at: datetime | None = None,
    job: int | None = None,
    error: str | None = None,
) -> None:
    conn.execute(
        statement("advance_schedule"),
        {
            "name": row["name"],
            "was": row["next_at"],
            "next_at": next_at,
            "last_at": last_at,
            "job_id": job,
            "error": None if error is None else encoding_of(conn).stored(error),
        },
    )
