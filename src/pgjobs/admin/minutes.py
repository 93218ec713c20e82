"""Minutes: what happened in queues and tasks over the last hours, as charts need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import UsageError
from pgjobs.db.adapters.operations import operation
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import clock, fetch, fetch_dicts, local_settings
from pgjobs.telemetry.metrics import BUCKETS

if TYPE_CHECKING:
    import psycopg

STEPS = (60, 300, 900, 3600, 21_600)  # seconds
MAX_POINTS = 200
MAX_HOURS = 24 * 31
MAX_QUEUES = 20
Values = tuple[float | None, ...]


@dataclass(frozen=True)
class MinuteSeries:
    """What happened in a queue ("": in all), or in a task of it, in steps of `step` seconds that begin at `at`.

    A value is None where nothing is known: no supervisor was there. `latency`: of the oldest due job, in seconds, and
    `due`, `running`, `waiting`: jobs; each the most in a step. `enqueued` (of all queues alone), `completed`, `failed`,
    `cancelled`, `retried`: per second. `slots`, `busy`: how many jobs could run and ran, in the mean. `run_50` to
    `wait_95`: seconds that half, or 95 of 100 jobs at most ran and waited, about; only if they were asked for.
    """

    queue: str
    task: str
    step: int
    at: tuple[datetime, ...]
    latency: Values
    due: Values
    running: Values
    waiting: Values
    enqueued: Values
    completed: Values
    failed: Values
    cancelled: Values
    retried: Values
    slots: Values
    busy: Values
    run_50: Values
    run_95: Values
    wait_50: Values
    wait_95: Values


@dataclass(frozen=True)
class BusyTask:
    """A task of a queue, and how many of its attempts ended."""

    task: str
    completed: int
    failed: int
    cancelled: int
    retried: int


@operation
def show_minutes(
    conn: psycopg.Connection[Any],
    queues: Sequence[str] = ("",),
    *,
    task: str = "",
    hours: float = 3.0,
    times: bool = False,
) -> list[MinuteSeries]:
    """Return what happened in queues over the last hours, in steps of a minute or more.

    `queues`: 20 at most; "": all together. `task`: only that of them. `times`: also for how long jobs ran and waited.

    Raises:
        UsageError: the hours are not up to a month, or there are too many queues.

    """
    if not 0 < hours <= MAX_HOURS:
        raise UsageError(f"hours={hours!r}: give a number of hours up to {MAX_HOURS}.")
    if isinstance(queues, str) or len(queues) > MAX_QUEUES:
        raise UsageError(f"queues: give a list of {MAX_QUEUES} names at most.")
    now = clock(conn)
    step = step_for(hours)
    ends = (now.timestamp() // 60) * 60
    begins = ((now - timedelta(hours=hours)).timestamp() // step) * step
    since = datetime.fromtimestamp(begins, UTC)
    common = {"step": step, "since": since}
    with local_settings(conn, LOOK_UPS):
        whole = _by_queue(fetch_dicts(conn, "read_minutes", queues=[""], task="", **common)).get("", {})
        rows = _by_queue(fetch_dicts(conn, "read_minutes", queues=list(queues), task=task, **common))
        found_times = {
            queue: fetch_dicts(conn, "read_times", queue=queue, task=task, **common) if times and queue else []
            for queue in queues
        }
    moments = [begins + number * step for number in range(int((ends - begins + step - 1) // step))]
    return [
        _series(queue, task, step, moments, ends, rows.get(queue, {}), whole, quantiles_of(found_times[queue]))
        for queue in queues
    ]


@operation
def list_busy_tasks(
    conn: psycopg.Connection[Any], queue: str, *, hours: float = 3.0, limit: int = 20
) -> list[BusyTask]:
    """List the tasks of a queue of which the most attempts ended over the last hours."""
    since = clock(conn) - timedelta(hours=hours)
    with local_settings(conn, LOOK_UPS):
        return fetch(conn, "busiest_tasks", BusyTask, queue=queue, since=since, limit=limit)


def step_for(hours: float) -> int:
    """Return the seconds of a step, so that there are not too many.

    >>> step_for(3), step_for(12), step_for(48), step_for(168)
    (60, 300, 900, 3600)

    """
    return next((step for step in STEPS if hours * 3600 / step <= MAX_POINTS), STEPS[-1])


def quantile(jobs: Sequence[float], share: float) -> float | None:
    """Return for how many seconds a share of jobs ran at most, from how many there are in each of the `BUCKETS`.

    >>> quantile([0, 0, 10], 0.5), quantile([], 0.5)
    (0.0175, None)

    """
    total = sum(jobs)
    if not total:
        return None
    wanted, before = total * share, 0.0
    for place, number in enumerate(jobs):
        if before + number >= wanted and number:
            lower = BUCKETS[place - 1] if place else 0.0
            upper = BUCKETS[place] if place < len(BUCKETS) else lower
            return lower + (upper - lower) * (wanted - before) / number
        before += number
    return BUCKETS[-1]


def quantiles_of(rows: Iterable[Mapping[str, Any]]) -> dict[float, dict[str, float | None]]:
    """Return the quantiles of each step, from the rows of `read_times.sql`."""
    buckets: dict[tuple[float, str], list[float]] = {}
    for row in rows:
        jobs = buckets.setdefault((row["at"], row["kind"]), [0.0] * (len(BUCKETS) + 1))
        jobs[min(row["bucket"], len(jobs)) - 1] += row["jobs"]
    found: dict[float, dict[str, float | None]] = {}
    for (at, kind), jobs in buckets.items():
        found.setdefault(at, {}).update({f"{kind}_50": quantile(jobs, 0.5), f"{kind}_95": quantile(jobs, 0.95)})
    return found


def _by_queue(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[float, Mapping[str, Any]]]:
    found: dict[str, dict[float, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["queue"], {})[row["at"]] = row
    return found


def _series(
    queue: str,
    task: str,
    step: int,
    moments: Sequence[float],
    ends: float,
    rows: Mapping[float, Mapping[str, Any]],
    whole: Mapping[float, Mapping[str, Any]],
    times: Mapping[float, Mapping[str, float | None]],
) -> MinuteSeries:
    names = set(MinuteSeries.__dataclass_fields__) - {"queue", "task", "step", "at"}
    values: dict[str, list[float | None]] = {name: [] for name in names}
    before: int | None = None
    for at in moments:
        row, known = rows.get(at), whole.get(at)
        seconds = min(step, ends - at)
        for name in ("latency", "due", "running", "waiting"):
            is_known = known is not None and known["sampled"]
            values[name].append(float((row or {}).get(name) or 0) if is_known else None)
        for name in ("completed", "failed", "cancelled", "retried"):
            values[name].append(None if known is None else row[name] / seconds if row else 0.0)
        values["slots"].append(None if known is None else row["slots"] if row else 0.0)
        values["busy"].append(None if known is None else row["busy"] * 60 / seconds if row else 0.0)
        given = row["enqueued"] if row else None
        values["enqueued"].append(None if given is None or before is None else max(given - before, 0) / step)
        before = given
        for name in ("run_50", "run_95", "wait_50", "wait_95"):
            values[name].append(times.get(at, {}).get(name))
    shown = {name: tuple(each) for name, each in values.items()}
    starts = tuple(datetime.fromtimestamp(at, UTC) for at in moments)
    return MinuteSeries(queue=queue, task=task, step=step, at=starts, **shown)
