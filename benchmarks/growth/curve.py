"""What the curves share: series, rounds in turns, points that fail alone, and the drain of a filled queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from benchmarks.growth import fill
from benchmarks.growth.figures import WARM_UP, Records, drained, median_of, read_records
from benchmarks.running import Failed, Producers, Stand, Workers, anonymous

Point = dict[str, Any]
DRAIN_SECONDS = 60.0  # from the first job of a drain; after that what has run is what counts
SEND_SECONDS = 120.0  # for a producer
START_SECONDS = 120.0  # until all processes are connected, or the first job runs
CALM_SECONDS = 2.0  # without a new connection, and they have started


class Skipped(Exception):
    """A point is left out on purpose; the message says why."""


@dataclass(frozen=True)
class Options:
    """`quick`: sizes that only show that it works. `fill_limit`: seconds; what takes longer to fill is left out."""

    quick: bool = False
    fill_limit: float = 200.0


@dataclass(frozen=True)
class Series:
    """One line of a curve."""

    stand: Stand
    label: str

    @property
    def tables(self) -> fill.Tables:
        return fill.TABLES[self.stand.contender.name]

    def head(self) -> dict[str, Any]:
        """Return what a result says of it."""
        return {
            "contender": self.stand.contender.name,
            "label": self.label,
            "settings": self.stand.configuration.settings,
        }


def series_of(stands: Sequence[Stand]) -> list[Series]:
    return [Series(stand, stand.contender.title) for stand in stands]


def measure(
    curve: str,
    series: Sequence[Series],
    xs: Sequence[float],
    measures: Mapping[str, str],
    point: Callable[[Series, Any], Point],
    rounds: int = 1,
) -> list[dict[str, Any]]:
    """Measure every point of every series, in turns, and say each. One that fails is a point with an error."""
    taken: dict[tuple[int, float], list[Point]] = {}
    for turn in range(rounds):
        for x in xs:
            for index, one in enumerate(series):
                started = time.monotonic()
                figures = _try(point, one, x)
                taken.setdefault((index, x), []).append(figures)
                _say(curve, one.label, x, figures, measures, turn, time.monotonic() - started)
    return [
        {**one.head(), "points": [{"x": x, **median_of(taken[index, x], list(measures))} for x in xs]}
        for index, one in enumerate(series)
    ]


def _try(point: Callable[[Series, Any], Point], series: Series, x: float) -> Point:
    try:
        return point(series, x)
    except Skipped as reason:
        return {"skipped": str(reason)}
    except Exception as error:  # one contender's trouble must not stop the others
        return {"error": anonymous(str(error)) or type(error).__name__}


def _say(curve: str, label: str, x: float, figures: Point, measures: Mapping[str, str], turn: int, took: float) -> None:
    said = [f"{title} {figures[measure]:,.0f}" for measure, title in measures.items() if measure in figures]
    said += [f"{key}: {figures[key]}" for key in ("error", "skipped") if key in figures]
    print(f"{curve} {x:g} {label} (round {turn + 1}, {took:.0f} s): {'; '.join(said)}", flush=True)


class Patience:
    """Guesses from the fills so far how long the next one takes, and refuses what takes too long."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._known: dict[str, tuple[int, float]] = {}

    def fill(self, series: Series, jobs: int, do: Callable[[], float]) -> float:
        """Do it and give the seconds that it took.

        Raises:
            Skipped: it would take too long.

        """
        rows, seconds = self._known.get(series.label, (1, 0.0))
        if (guess := seconds / rows * jobs) > self._limit:
            raise Skipped(f"filling {jobs:,} jobs would take about {guess:.0f} s")
        took = do()
        if jobs:
            self._known[series.label] = (jobs, took)
        return round(took, 1)


def begin(stand: Stand) -> None:
    """Make the contender's tables, and keep a row that its driver enqueued to copy from."""
    stand.set_up()
    take_sample(stand)


def take_sample(stand: Stand) -> None:
    """Have the driver enqueue a job, and keep its row."""
    stand.empty()
    with stand.producers("bulk", 1, 1) as producers:
        producers.send(SEND_SECONDS)
    fill.take_sample(stand.url, fill.TABLES[stand.contender.name])
    stand.empty()


def drain(stand: Stand, jobs: int, seconds: float = DRAIN_SECONDS, warm_up: float = WARM_UP) -> Point:
    """Start a worker, let it run N of the jobs that wait, then stop it, and give the rate.

    Raises:
        Failed: it ended, or next to nothing ran.

    """
    with stand.workers() as workers:
        workers.wait_for(1, START_SECONDS)
        return run(workers, jobs, seconds, warm_up)


def run(workers: Workers, jobs: int, seconds: float, warm_up: float = WARM_UP) -> Point:
    """Wait until N jobs ran, and give the rate. When the time is up, what has run is what counts.

    `warm_up`: the part of the jobs that run before the clock starts.

    Raises:
        Failed: a worker ended, or next to nothing ran.

    """
    deadline = time.monotonic() + seconds
    while workers.count() < jobs and time.monotonic() < deadline:
        workers.check()
        time.sleep(0.005)
    try:
        return drained(ran_by(workers), jobs, warm_up)
    except ValueError as error:
        raise Failed(f"{error} in {seconds:g} s") from None


def wait_until_started(stand: Stand, workers: Workers, processes: int) -> int:
    """Wait until each process is connected (the producer is too) and no more come; give how many there are.

    Raises:
        Failed: not in time, or a worker ended.

    """
    deadline = time.monotonic() + START_SECONDS
    known, since = 0, time.monotonic()
    with psycopg.connect(stand.server.url, autocommit=True) as conn:
        while known <= processes or time.monotonic() - since < CALM_SECONDS:
            workers.check()
            if time.monotonic() > deadline:
                raise Failed(f"{known} connections of {processes} processes after {START_SECONDS:g} s")
            time.sleep(0.2)
            row = conn.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [stand.database]).fetchone()
            connections = int(row[0]) if row else 0
            if connections > known:
                known, since = connections, time.monotonic()
    return known


def ran_by(workers: Workers) -> Records:
    """Return number and time (ns) of the jobs that ran. As an array: ten million tuples are gigabytes."""
    return read_records(workers._ran, 2)


def sent_by(producers: Producers) -> Records:
    """Return number, time before and time after its transaction (ns) of the jobs that were sent."""
    return read_records(producers._sent, 3)
