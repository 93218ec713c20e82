"""Retention: makes partitions of history, results, kept events and minutes ahead of time, and removes what is too old.

How old history, dead letters and minutes may be is in the table `retention`; each result and event says itself when it
expires.

Every supervisor may do it; there is no leader. Making a day takes an advisory lock; the rest is done by the supervisor
that acquires the turn in that table. It works in short steps, so that acknowledgements do not wait for it, nor dead
workers whose jobs the same thread has to settle.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.core.text import one_line
from pgjobs.db.statements import statement

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.retention")
EVERY = 60.0  # seconds between two looks of one supervisor
TURN = 600.0  # seconds between two turns, of any supervisor
AFTER_TROUBLE = 3600.0  # seconds until the next look after an error that an operator has to fix
BUDGET = 1.0  # seconds that one call may take, and one step more
DAYS_AHEAD = 3
PAGES = 200  # of the default partition, in one step
LETTERS = 500  # in one step
KEYS = 500  # in one step
WORKFLOWS = 50  # in one step: each may have many steps
RESULT_DAYS_AHEAD = 8  # most results are kept for no longer than a week
RESULTS = 100  # of the default partition, in one step: they may be large, and so may events
Steps = Iterator[None]  # one short transaction before each of them


class _Days(NamedTuple):
    """A table with a partition for each day, and the statements that make and drop one."""

    what: str
    create: str
    drop: str


HISTORY = _Days("history", "create_history_partition", "drop_history_partition")
RESULTS_BY_DAY = _Days("results", "create_results_partition", "drop_results_partition")
EVENTS_BY_DAY = _Days("events", "create_events_partition", "drop_events_partition")
MINUTES_BY_DAY = _Days("minutes", "create_minutes_partition", "drop_minutes_partition")


class Retention:
    """The retention work of one supervisor, and how far it has come."""

    def __init__(self) -> None:
        self._next_look = 0.0  # monotonic seconds
        self._connection: psycopg.Connection | None = None
        self._steps: Steps | None = None

    def work(self, connection: psycopg.Connection, interrupted: Callable[[], bool]) -> None:
        """Do what is due, for about a second or until `interrupted()`; the next call continues.

        Raises:
            psycopg.Error: the connection broke. What the server refuses is logged, and tried again later.

        """
        import psycopg

        began = time.monotonic()
        steps, self._steps = self._steps, None
        if steps is None or self._connection is not connection:
            if began < self._next_look:
                return
            self._next_look = began + EVERY
            self._connection, steps = connection, self._look(connection)
        try:
            for _ in steps:
                if interrupted() or time.monotonic() - began > BUDGET:
                    self._steps = steps
                    return
        except psycopg.Error as error:
            self._complain(connection, "retention", error)

    def _look(self, connection: psycopg.Connection) -> Steps:
        # Without its day a row goes to the default partition, so this is not urgent.
        for table, missing in (
            (HISTORY, _rows(connection, "missing_history_days", ahead=DAYS_AHEAD)),
            (RESULTS_BY_DAY, _rows(connection, "missing_results_days", ahead=RESULT_DAYS_AHEAD)),
            (EVENTS_BY_DAY, _rows(connection, "missing_events_days")),
            (MINUTES_BY_DAY, _rows(connection, "missing_minutes_days")),
        ):
            yield from self._each_day(connection, table, missing, _make_day, "made")
        turn = _rows(connection, "acquire_retention", every=TURN)
        if not turn:
            return
        ((history_days, dead_letter_days, minute_days),) = turn
        yield
        if history_days is not None:
            old = _rows(connection, "old_history_days", days=history_days)
            yield from self._each_day(connection, HISTORY, old, _drop_day, "dropped")
        old = _rows(connection, "old_results_days")
        yield from self._each_day(connection, RESULTS_BY_DAY, old, _drop_day, "dropped")
        what = "expired results are not removed"
        yield from self._try(connection, what, _trim_default(connection, "purge_results_default"))
        old = _rows(connection, "old_events_days")
        yield from self._each_day(connection, EVENTS_BY_DAY, old, _drop_day, "dropped")
        what = "expired events are not removed"
        yield from self._try(connection, what, _trim_default(connection, "purge_events_default"))
        old = _rows(connection, "old_minutes_days", days=minute_days)
        yield from self._each_day(connection, MINUTES_BY_DAY, old, _drop_day, "dropped")
        what = "old minutes are not removed"
        yield from self._try(connection, what, _trim_default(connection, "purge_minutes_default", days=minute_days))
        what = "jobs_history_default is not cleaned up"
        yield from self._try(connection, what, _clean_up(connection, history_days))
        if dead_letter_days is not None:
            what = "old dead letters are not removed"
            yield from self._try(connection, what, _trim_dead(connection, dead_letter_days))
        yield from self._try(connection, "full buckets are not forgotten", _trim_buckets(connection))
        if history_days is not None:
            what = "old workflows are not removed"
            yield from self._try(connection, what, _trim_workflows(connection, history_days))
            yield from self._try(
                connection, "old broadcasts are not removed", _trim_broadcasts(connection, history_days)
            )
        yield from self._try(connection, "old signals are not removed", _trim_signals(connection))
        yield from self._try(connection, "old progress is not removed", _trim_progress(connection))
        yield from self._try(connection, "old unique keys are not removed", _trim_keys(connection))

    def _each_day(
        self,
        connection: psycopg.Connection,
        table: _Days,
        days: list[tuple[Any, ...]],
        change: Callable[[psycopg.Connection, _Days, object], Steps],
        done: str,
    ) -> Steps:
        for (day,) in days:
            what = f"the day {day} of {table.what} is not {done}"
            if not (yield from self._try(connection, what, change(connection, table, day))):
                break

    def _try(self, connection: psycopg.Connection, what: str, steps: Steps) -> Generator[None, None, bool]:
        """Take the steps; an error ends only these. False: a lock was not available, so the rest would wait too."""
        import psycopg

        try:
            yield from steps
        except psycopg.errors.LockNotAvailable:
            log.info("%s yet, because another transaction uses it; the next turn tries again", what)
            return False
        except psycopg.Error as error:
            self._complain(connection, what, error)
        return True

    def _complain(self, connection: psycopg.Connection, what: str, error: psycopg.Error) -> None:
        if connection.closed:
            raise error
        log.warning("%s: %s", what, one_line(error))
        self._next_look = time.monotonic() + AFTER_TROUBLE


def _make_day(connection: psycopg.Connection, table: _Days, day: object) -> Steps:
    _rows(connection, table.create, day=day)
    yield


def _drop_day(connection: psycopg.Connection, table: _Days, day: object) -> Steps:
    ((dropped,),) = _rows(connection, table.drop, day=day)
    if dropped:
        log.info("dropped the day %s of %s", day, table.what)
    else:
        log.info(
            "the day %s of %s is not dropped yet, because another transaction uses it; the next turn tries again",
            day,
            table.what,
        )
    yield


def _trim_default(connection: psycopg.Connection, name: str, **values: object) -> Steps:
    while _count(connection, name, batch=RESULTS, **values) >= RESULTS:
        yield


def _clean_up(connection: psycopg.Connection, days: int | None) -> Steps:
    """Go through the default partition, which is empty as a rule, some pages at a time."""
    ((pages,),) = _rows(connection, "pages_of_history_default")
    removed = 0
    for page in range(0, pages, PAGES):
        place = {"begins": f"({page},0)", "ends": f"({page + PAGES},0)"}
        _count(connection, "backfill_finished_at", **place)
        if days is not None:
            removed += _count(connection, "purge_history_default", days=days, **place)
        yield
    if removed:
        log.info("removed %d old jobs from jobs_history_default", removed)


def _trim_progress(connection: psycopg.Connection) -> Steps:
    for name in ("purge_progress", "purge_steps"):
        while _count(connection, name, batch=KEYS) >= KEYS:
            yield


def _trim_workflows(connection: psycopg.Connection, days: int) -> Steps:
    """Remove workflows that ended as long ago as history goes, with their steps."""
    removed = 0
    while batch := _count(connection, "purge_workflows", days=days, batch=WORKFLOWS):
        removed += batch
        yield
    if removed:
        log.info("removed %d workflows that ended more than %d days ago", removed, days)


def _trim_broadcasts(connection: psycopg.Connection, days: int) -> Steps:
    while _count(connection, "purge_broadcasts", days=days, batch=KEYS) >= KEYS:
        yield


def _trim_signals(connection: psycopg.Connection) -> Steps:
    for name in ("purge_waits", "purge_signals"):
        while _count(connection, name, batch=KEYS) >= KEYS:
            yield


def _trim_dead(connection: psycopg.Connection, days: int) -> Steps:
    removed = 0
    while batch := _count(connection, "purge_dead", days=days, batch=LETTERS):
        removed += batch
        yield
        if batch < LETTERS:
            break
    if removed:
        log.info("removed %d dead letters that died more than %d days ago", removed, days)


def _trim_buckets(connection: psycopg.Connection) -> Steps:
    """Forget what is left of rates where that is everything, and the locks of keys that no job has."""
    _count(connection, "purge_buckets")
    yield
    while _count(connection, "purge_key_locks", batch=KEYS) >= KEYS:
        yield


def _trim_keys(connection: psycopg.Connection) -> Steps:
    """Go through the unique keys: those of live jobs that have one, and those that were let go since the last turn."""
    removed, last = 0, ""
    while rows := _rows(connection, "list_unique_keys", after=last, batch=KEYS):
        last = rows[-1][0]
        free = [(key, job) for key, job, is_free in rows if is_free]
        if free:
            keys, jobs = zip(*free, strict=True)
            removed += _count(connection, "purge_unique_keys", keys=list(keys), job_ids=list(jobs))
        yield
    if removed:
        log.info("removed %d unique keys that no job has", removed)


def _rows(connection: psycopg.Connection, name: str, **values: object) -> list[tuple[Any, ...]]:
    return connection.execute(statement(name), values).fetchall()


def _count(connection: psycopg.Connection, name: str, **values: object) -> int:
    return connection.execute(statement(name), values).rowcount
