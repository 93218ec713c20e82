"""Charts: what happened in the last hours, for the script that draws them, and as a table for all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pgjobs import admin
from pgjobs.core.errors import UsageError
from pgjobs.web.values import shown

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.admin import MinuteSeries
    from pgjobs.web.visit import Visit

HOURS = (1, 3, 12, 48)
SHOWN = 3  # hours, if nothing else is asked for
MOST = 6  # queues in one chart
ROWS = 12  # of a table


@dataclass(frozen=True)
class Charts:
    """What a page says of its charts. `source`: the address of their values. `rows`: the same, shorter, as a table."""

    source: str
    hours: int
    choices: tuple[int, ...]
    kinds: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Row:
    """A part of the time: numbers of jobs, and the worst latency of the queues."""

    at: datetime
    completed: float
    failed: float
    retried: float
    latency: float | None


def hours_of(visit: Visit) -> int:
    """Return the hours that were asked for."""
    asked = visit.number("hours")
    return asked if asked in HOURS else SHOWN


def charts(
    visit: Visit, kinds: Sequence[tuple[str, str]], queues: Sequence[str] = (), *, task: str = "", times: bool = False
) -> Charts | None:
    """Return charts of these queues (none: of all together), or of a task of one; None: it took too long.

    `kinds`: the names of the charts, and what is written above them.
    """
    hours = hours_of(visit)
    asked = [*queues[:MOST]]
    found = visit.look(
        "charts", lambda: admin.show_minutes(visit.conn, [*asked] if task else ["", *asked], task=task, hours=hours)
    )
    if found is None:
        return None
    given = [*(("queue", queue) for queue in asked), ("hours", str(hours))]
    given += [("task", task)] if task else []
    given += [("times", "1")] if times else []
    whole = found[0] if task or len(asked) != 1 else found[1]
    latencies = found if task else found[1:]
    return Charts(f"/minutes?{urlencode(given)}", hours, HOURS, tuple(kinds), table(whole, latencies))


def table(whole: MinuteSeries, queues: Sequence[MinuteSeries]) -> tuple[Row, ...]:
    """Return the same as some rows, the newest first; without those in which nothing is known."""
    number = len(whole.at)
    size = max(1, -(-number // ROWS))
    rows = []
    for start in range(0, number, size):
        part = slice(start, start + size)
        if all(value is None for value in whole.completed[part]):
            continue
        known = [value for queue in queues for value in queue.latency[part] if value is not None]
        completed, failed, retried = (
            sum(value or 0.0 for value in values[part]) * whole.step
            for values in (whole.completed, whole.failed, whole.retried)
        )
        rows.append(Row(whole.at[start], completed, failed, retried, max(known, default=None)))
    return tuple(reversed(rows))


def minutes(visit: Visit) -> dict[str, Any]:
    """Return the values of charts as JSON has them.

    Raises:
        UsageError: too many queues are asked for, or a task without its queue.

    """
    queues = visit.several("queue")
    if len(queues) > MOST:
        raise UsageError(f"queue: give {MOST} at most.")
    task = visit.asked("task") or ""
    if task and not queues:
        raise UsageError("task: name its queue as well.")
    hours = hours_of(visit)
    names = queues if task else ["", *queues]
    found = admin.show_minutes(visit.conn, names, task=task, hours=hours, times=visit.asked("times") is not None)
    slas = {each.name: each.sla for each in admin.list_queues(visit.conn, names=queues)} if queues else {}
    return {
        "step": found[0].step,
        "at": [int(at.timestamp()) for at in found[0].at],
        "series": [{"queue": shown(each.queue), "sla": slas.get(each.queue), **_values(each)} for each in found],
    }


def _values(series: MinuteSeries) -> dict[str, list[float | None]]:
    named = ("queue", "task", "step", "at")
    fields = [name for name in type(series).__dataclass_fields__ if name not in named]
    return {name: [None if each is None else round(each, 4) for each in getattr(series, name)] for name in fields}
