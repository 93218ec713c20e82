"""When a schedule fires: the times of a cron expression in a time zone, and which of them are made up for.

Pure: PostgreSQL's time comes in as an argument. What an expression means is cronsim's; what happens when clocks are put
forward or back is held here, the same for five fields and for six:

- fixed times (minute and hour do not begin with `*`) fire once a day: a time that is left out fires when the gap ends,
  and one that comes twice fires the first time;
- all others go by real hours and minutes, as `*/15 * * * *` should.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import Literal, NamedTuple

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_str

Missed = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip"]
MISSED: tuple[Missed, ...] = ("skip", "once", "all")
OVERLAP: tuple[Overlap, ...] = ("allow", "skip")
MISSED_AFTER = timedelta(minutes=1)
"""A firing that is later than this is a missed one; until then, a worker that restarts has lost nothing."""
STEP = 100
"""Firings that are enqueued in one step, at most."""
_MAX_LENGTH = 200  # characters
_TICK = timedelta(microseconds=1)
# The last firing before a moment is looked for in these, one after the other: each is a few of the one before.
_WINDOWS = tuple(timedelta(seconds=n) for n in (60, 3600, 86400, 32 * 86400, 400 * 86400, 11 * 366 * 86400))


class Step(NamedTuple):
    """What is to be done now. `fire`: the firings to enqueue; `next_at`: what comes then (None: nothing, ever)."""

    fire: tuple[datetime, ...]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a time zone; `parse` makes it."""

    expression: str
    tz: str

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the firings after a moment, in UTC; each is later than the one before."""
        from cronsim import CronSim

        zone, last = _zone(self.tz), moment
        naive = self._is_fixed() or zone is UTC
        local = moment.astimezone(zone)
        try:
            for found in CronSim(self.expression, local.replace(tzinfo=None) if naive else local):
                firing = _resolve(found, zone) if naive else found.astimezone(UTC)
                # Times of a gap end up as one, and in a fold the clock on the wall has been there before.
                if firing > last:
                    yield firing
                    last = firing
        except OverflowError:  # the end of time
            return

    def next(self, moment: datetime) -> datetime | None:
        """Return the first firing after a moment; None if there are no firings in fifty years."""
        return next(self.after(moment), None)

    def _is_fixed(self) -> bool:
        *_, minute, hour, _, _, _ = self.expression.split()
        return not (minute.startswith("*") or hour.startswith("*"))


def parse(expression: object, tz: object = "UTC") -> Cron:
    """Read a cron expression of five fields, or six with the seconds first, and the name of a time zone.

    Raises:
        UsageError: it is not a cron expression, it never comes true, or there is no such zone.

    """
    text = as_str(expression)
    if text is None or len(text) > _MAX_LENGTH or not text.isprintable() or len(text.split()) not in (5, 6):
        raise UsageError(
            f"cron={shorten_repr(expression)}: give five fields, or six with the seconds first, such as '0 9 * * "
            "MON-FRI'."
        )
    name = as_str(tz)
    if name is None or not _exists(name):
        raise UsageError(
            f"tz={shorten_repr(tz)}: give a time zone such as 'Europe/Berlin'; where the system has none, install "
            "tzdata."
        )
    cron = Cron(" ".join(text.split()), name)
    try:
        first = cron.next(datetime(2024, 1, 1, tzinfo=UTC))
    except Exception as error:  # mostly CronSimError, and what a field made it stumble over
        raise UsageError(f"cron={text!r} cannot be used: {_reason(error)}.") from error
    if first is None:
        raise UsageError(f"cron={text!r} never comes true.")
    return cron


def firings(cron: Cron, due: datetime, until: datetime, missed: Missed, limit: int = STEP) -> Step:
    """Decide what to enqueue at `until`, of the firings from `due` on.

    skip: what is missed is left out. once: if anything was missed, the last firing stands for all. all: each firing,
    `limit` in one step; what is left comes in the next one.
    """
    if due > until:
        return Step((), due)
    start = due
    if due < until - MISSED_AFTER and missed != "all":
        if missed == "once":
            last = _last(cron, due, until)
            return Step((last,), cron.next(until))
        start = until - MISSED_AFTER
    found: list[datetime] = []
    for firing in _from(cron, start, due):
        if firing > until or len(found) == limit:
            return Step(tuple(found), firing)
        found.append(firing)
    return Step(tuple(found), None)


def _from(cron: Cron, start: datetime, due: datetime) -> Iterator[datetime]:
    if start == due:  # what was promised, also if the expression was changed since
        yield due
        yield from cron.after(due)
    else:
        yield from cron.after(start - _TICK)


def _last(cron: Cron, due: datetime, until: datetime) -> datetime:
    for window in _WINDOWS:
        last = None
        if until - window <= due:
            break
        for firing in cron.after(until - window):
            if firing > until:
                break
            last = firing
        if last is not None:
            return last
    last = due
    for firing in cron.after(due):
        if firing > until:
            break
        last = firing
    return last


def _resolve(naive: datetime, zone: tzinfo) -> datetime:
    """Return the moment at which clocks show this time first, or the end of the gap that it is in."""
    while True:
        moment = naive.replace(tzinfo=zone).astimezone(UTC)
        if zone is UTC or moment.astimezone(zone).replace(tzinfo=None) == naive:
            return moment
        naive += timedelta(minutes=1)


@cache
def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    return UTC if name == "UTC" else ZoneInfo(name)


def _exists(name: str) -> bool:
    try:
        _zone(name)
    except Exception:  # no such zone, or no name that a file could have
        return False
    return True


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{text[:1].lower()}{text[1:]}" if text else type(error).__name__
