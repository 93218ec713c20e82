"""Snapshot: what an open transaction does to a queue under steady load.

Load first without it, then ten minutes with a REPEATABLE READ transaction that has an XID, in another session: as long
as it is there, no row that became dead can be removed, and a claim that has to pass them gets slower and slower.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy
import psycopg
from benchmarks.growth import fill
from benchmarks.growth.curve import Options, Series, drain, ran_by, sent_by, series_of
from benchmarks.growth.figures import windows
from benchmarks.measures.flow import BATCH, CLIENTS
from benchmarks.measures.sustained import sustained
from benchmarks.running import Failed, Stand, anonymous

SHARE = 0.5  # of the highest rate at which the queue does not grow
END_SECONDS = 30.0  # for the producers to come to their end, after the time that they have


@dataclass(frozen=True)
class Times:
    """Seconds. `calm`: without the snapshot; its first window does not count. `last`: those compared with `calm`."""

    calm: float = 90.0
    held: float = 600.0
    window: float = 30.0
    last: float = 120.0
    look: float = 5.0
    jobs: int = 100_000  # that are drained first, to know the rate


QUICK = Times(calm=20.0, held=60.0, window=5.0, last=20.0, look=1.0, jobs=5_000)


def snapshot(stands: Sequence[Stand], options: Options) -> dict[str, Any]:
    """Measure it, one contender after the other."""
    times = QUICK if options.quick else Times()
    lines = []
    for one in series_of(stands):
        print(f"snapshot {one.label}: {times.calm + times.held:.0f} s of load …", flush=True)
        try:
            line = {**one.head(), **_hold(one, times)}
            print(f"snapshot {one.label}: {line['summary']}", flush=True)
        except Exception as error:  # one contender's trouble must not stop the others
            line = {**one.head(), "error": anonymous(str(error)) or type(error).__name__}
            print(f"snapshot {one.label}: error: {line['error']}", flush=True)
        lines.append(line)
    return {
        "title": f"A snapshot held for {times.held / 60:g} min under steady load",
        "held_from": times.calm,
        "held_for": times.held,
        "series": lines,
        "note": f"Load: {SHARE:.0%} of the rate at which the contender's own queue just does not grow, by {CLIENTS} "
        f"connections, {BATCH} jobs a transaction. Compared: the last {times.last:g} s with the time before it.",
    }


def _hold(series: Series, times: Times) -> dict[str, Any]:
    stand = series.stand
    stand.empty()
    fill.due(stand.url, series.tables, times.jobs)
    rate = round(SHARE * float(sustained(stand, drain(stand, times.jobs)["per_second"])["per_second"]), 1)
    stand.empty()
    seconds = times.calm + times.held
    with stand.workers() as workers, stand.producers("paced", rate, seconds, BATCH, CLIENTS) as producers:
        workers.wait_for(CLIENTS, END_SECONDS)  # what the producers enqueued when they connected
        start = time.time_ns()
        with _dead_rows(stand.url, times.look) as counts:
            producers.begin()
            time.sleep(times.calm)
            with _snapshot(stand.url):
                _watch(workers.check, times.held)
        error = ""
        try:
            producers.finish(END_SECONDS)
        except Failed as failed:
            error = str(failed)  # it did not keep up; what was sent and run until then is what counts
        cut = windows(sent_by(producers), ran_by(workers), times.window, start, start + int(seconds * 1e9))
    line = {"rate": rate, "windows": cut, "dead_rows": counts.seen, "summary": summary(cut, times)}
    return line | ({"producers": error} if error else {})


def _watch(check: Any, seconds: float) -> None:
    """Wait, unless a worker ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        check()
        time.sleep(0.2)


@contextmanager
def _snapshot(url: str) -> Iterator[None]:
    with psycopg.connect(url, application_name="bench snapshot") as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        conn.execute("SELECT pg_current_xact_id()")
        yield
        conn.rollback()


@dataclass
class _Counts:
    """Seconds since the start, and dead rows in the whole database, as its statistics have them."""

    seen: list[tuple[float, int]] = field(default_factory=list)


@contextmanager
def _dead_rows(url: str, every: float) -> Iterator[_Counts]:
    counts, done = _Counts(), threading.Event()
    started = time.monotonic()

    def look() -> None:
        with psycopg.connect(url, autocommit=True, application_name="bench watch") as conn:
            while not done.wait(every):
                row = conn.execute("SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables").fetchone()
                counts.seen.append((round(time.monotonic() - started, 1), int(row[0]) if row else 0))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        done.set()
        thread.join(10)


def summary(cut: Sequence[Mapping[str, Any]], times: Times) -> dict[str, float]:
    """Compare the end with the beginning: what was run per second, and the windows' median p50 and p99."""
    before = [
        window for window in cut if times.window <= window["from"] and window["from"] + times.window <= times.calm
    ]
    last = [window for window in cut if window["from"] >= times.calm + times.held - times.last]
    figures: dict[str, float] = {}
    for name in ("per_second", "p50_ms", "p99_ms"):
        values = [[window[name] for window in part if name in window] for part in (before, last)]
        if not all(values):
            continue
        was, became = (float(numpy.mean(v) if name == "per_second" else numpy.median(v)) for v in values)
        figures |= {f"{name}_before": round(was, 2), f"{name}_last": round(became, 2)}
        figures[f"{name}_ratio"] = round(became / was, 3) if was else 0.0
    return figures
