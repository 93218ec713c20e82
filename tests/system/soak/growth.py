"""What grew that should not have: the last quarter of a run beside the second. Pure functions of `series.compact`.

The first quarter is left out, because things fill up in it: history until jobs are as old as they may get, memory until
every path has been taken once, tables until VACUUM has come by.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.system.soak.series import quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTEST = 1200.0  # seconds of a run that is judged: in a shorter one things are still filling up
WAITS = {"p50_ms": 0.5, "p99_ms": 0.99}
PER_JOB = {"wal_per_job_kb": "wal_kb"}


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that is looked at. It may grow by `share` of what it was and by `room`, None: by whatever it likes."""

    name: str
    title: str
    share: float | None = None
    room: float = 0.0


MEASURES = [
    Measure("supervisor_mb", "memory of the supervisor, MB (RSS)", 0.05, 2),
    Measure("worker_mb", "memory of a worker process, MB (RSS)", 0.05, 2),
    Measure("child_mb", "memory of a job's process, MB (RSS)", 0.05, 2),
    Measure("all_pss_mb", "memory of all processes, MB (PSS)", 0.10, 10),
    Measure("threads", "threads of supervisor and workers", 0.05, 2),
    Measure("files", "open files of supervisor and workers", 0.05, 3),
    Measure("connections", "connections to PostgreSQL", 0.10, 2),
    Measure("live_heap_mb", "jobs_live: table, MB", 0.30, 2),
    Measure("jobs_live_pkey_mb", "jobs_live: primary key, MB", 0.30, 0.5),
    Measure("jobs_live_due_mb", "jobs_live: index of what is due, MB", 0.30, 0.5),
    Measure("live_toast_mb", "jobs_live: TOAST, MB", 0.30, 0.5),
    Measure("history_mb", "history with its indexes, MB", 0.20, 5),
    Measure("dead_jobs_mb", "dead letters with their indexes, MB", 0.20, 2),
    Measure("other_tables_mb", "all other tables, MB", 0.20, 0.2),
    Measure("dead_live", "dead rows in jobs_live", 0.50, 5_000),
    Measure("dead_history", "dead rows in history", 0.50, 10_000),
    Measure("dead_other", "dead rows elsewhere", 0.50, 2_000),
    Measure("backlog", "jobs that are due and not claimed, at most in a step", 0.50, 20),
    Measure("p50_ms", "pick-up latency, ms (p50)", 0.50, 5),
    Measure("p99_ms", "pick-up latency, ms (p99)", 1.00, 500),
    Measure("wal_per_job_kb", "WAL for a run, kB", 0.30, 2),
    Measure("temp_mb", "temporary files since the server's start, MB", 0.10, 5),
    Measure("log_lines", "log lines of the workers, by the second", 0.50, 1),
    Measure("server_log_lines", "log lines of PostgreSQL, by the second", 0.50, 1),
    Measure("runs_per_second", "runs a second"),
    Measure("xmin_age", "age of the oldest snapshot, transactions, at most in a step"),
    Measure("auditor_mb", "memory of the load and the auditor, MB (RSS)", 0.20, 20),
    Measure("busy", "the whole machine is busy, %"),
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A measure by quarters (None: never seen), and whether it grew more than it may (None: that is not judged)."""

    measure: Measure
    quarters: tuple[float | None, ...]
    slope: float | None  # by the hour, from the middle of the second quarter to that of the last
    grew: bool | None


def quarters_of(values: Sequence[Any]) -> list[list[Any]]:
    """Cut a column in four."""
    size = len(values) / 4
    return [list(values[round(n * size) : round((n + 1) * size)]) for n in range(4)]


def by_quarter(run: dict[str, Any], name: str) -> tuple[float | None, ...]:
    """Return a measure's medians; of latencies the quantile of all that was waited in a quarter."""
    if name in WAITS:
        quarters = quarters_of(run["waits"])
        return tuple(quantile([wait for waits in quarter for wait in waits], WAITS[name]) for quarter in quarters)
    values = run["columns"].get(PER_JOB.get(name, name), [])
    if name in PER_JOB and values:
        runs = run["columns"]["runs_per_second"]
        values = [a / b if a is not None and b else None for a, b in zip(values, runs, strict=True)]
    seen = [[value for value in quarter if value is not None] for quarter in quarters_of(values)]
    return tuple(median(quarter) if quarter else None for quarter in seen)


def has_grown(measure: Measure, second: float | None, last: float | None) -> bool | None:
    """Return True if a measure grew more than it may; None where it is not judged, or was never seen."""
    if measure.share is None or second is None or last is None:
        return None
    return last > second * (1 + measure.share) + measure.room


def verdicts(run: dict[str, Any]) -> list[Verdict]:
    """Judge a run, unless it was too short for that."""
    found = []
    hours = run["seconds"] / 3600
    for measure in MEASURES:
        quarters = by_quarter(run, measure.name)
        second, last = quarters[1], quarters[3]
        slope = (last - second) / (hours / 2) if second is not None and last is not None else None
        grew = has_grown(measure, second, last) if run["seconds"] >= SHORTEST else None
        found.append(Verdict(measure, quarters, slope, grew))
    return found
