"""Fire the schedules that are due: each firing is enqueued by the transaction that moves its schedule on.

There is no leader. Who has locked the row fires; the others pass it by, and find it moved on when they look again. Who
dies in between leaves nothing behind.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg import IsolationLevel
from psycopg.rows import dict_row

from pgjobs.core.errors import ConfigurationError
from pgjobs.core.text import one_line
from pgjobs.db.statements import statement
from pgjobs.schedules.cron import firings, parse
from pgjobs.schedules.scheduled import enqueue_scheduled
from pgjobs.schedules.stored_call import has_unique_key

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.scheduler")
_KEY_WITHIN = "200ms"  # for a unique key that a transaction has locked; the schedule stays due


def fire_due(conn: psycopg.Connection[Any], interrupted: Callable[[], bool] = lambda: False) -> int:
    """Give each schedule that is due its turn, one step of at most `cron.STEP` firings, and count these.

    Raises:
        psycopg.Error: the connection broke. What is wrong with a single schedule is written beside it.

    """
    conn.isolation_level = IsolationLevel.READ_COMMITTED  # who waited must see that the row has moved on
    done: list[str] = []
    count = 0
    while not interrupted():
        fired = _fire_one(conn, done)
        if fired is None:
            break
        count += fired
    return count


def _fire_one(conn: psycopg.Connection[Any], done: list[str]) -> int | None:
    """Fire the schedule that has been due longest, and add it to `done`; None: there is none."""
    import psycopg

    row: dict[str, Any] | None = None
    try:
        with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(statement("lock_schedule"), {"done": done}).fetchone()
            if row is None:
                return None
            done.append(row["name"])
            return _fire(conn, row)
    except psycopg.errors.LockNotAvailable:
        if row is None or not has_unique_key(row):
            raise
        log.debug("somebody's transaction has locked the unique key of the schedule %s: it fires later", row["name"])
        return 0
    except (psycopg.OperationalError, psycopg.ProgrammingError, ConfigurationError):
        raise  # the server, the rights, the tables: nothing that this schedule is to blame for, and no firing is lost
    except Exception as error:  # a row that was changed by hand, a job that the table refuses
        if row is None or conn.closed:
            raise
        log.error("the schedule %s could not fire: %s", row["name"], one_line(str(error)))
        _skip(conn, row, one_line(f"{type(error).__name__}: {error}"))
        return 0


def _fire(conn: psycopg.Connection[Any], row: dict[str, Any]) -> int:
    due, last = row["next_at"], row["last_at"]
    step = firings(parse(row["cron"], row["tz"]), due, row["now"], row["missed"])
    # When clocks are set back, or a row by hand: what was enqueued is not enqueued again.
    fire = [firing for firing in step.fire if last is None or firing > last]
    if row["overlap"] == "skip" and fire:
        fire = [] if _is_busy(conn, row["last_job_id"]) else fire[-1:]
    if fire and has_unique_key(row):  # somebody's long transaction must not hold up the other schedules
        conn.execute("SELECT set_config('lock_timeout', %s, true)", [_KEY_WITHIN])
    job: int | None = None
    for firing in fire:
        made = enqueue_scheduled(conn, row, firing)
        job = None if made is None else made.id
        if made is not None and made.conflict:
            log.info("schedule %s: for %s there is job %s, which has the unique key", row["name"], firing, job)
        else:
            log.debug("schedule %s: job %s for %s", row["name"], job, firing)
    _advance(conn, row, step.next_at, last_at=fire[-1] if fire else None, job=job)
    if fire and fire[0] != due and row["missed"] == "once":
        log.info("schedule %s: job %s stands for all firings since %s", row["name"], job, due)
    return len(fire)


def _is_busy(conn: psycopg.Connection[Any], job: int | None) -> bool:
    if job is None:
        return False
    row = conn.execute(statement("schedule_is_busy"), {"job_id": job}).fetchone()
    return row is not None and bool(row[0])


def _skip(conn: psycopg.Connection[Any], row: dict[str, Any], error: str) -> None:
    try:
        next_at = parse(row["cron"], row["tz"]).next(row["now"])
    except Exception:  # until somebody mends it
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
            "error": error,
        },
    )
