"""From the files that jobs and producers write to figures. Nothing here measures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

Records = NDArray[numpy.int64]
WARM_UP = 0.1  # of the jobs, which run before the clock starts
LEAST = 10  # jobs; fewer give no rate
LONG_ENOUGH = 0.5  # seconds; a shorter measurement is shown, but nothing is compared with it


def read_records(path: Path, numbers: int) -> Records:
    """Read a file of records of N 64-bit numbers; a last one that is not complete is left out."""
    values = numpy.fromfile(path, dtype="<i8")
    return values[: len(values) // numbers * numbers].reshape(-1, numbers)


def drained(ran: Records, jobs: int, warm_up: float = WARM_UP) -> dict[str, Any]:
    """Return the rate at which the first `jobs` ran after the warm-up, and over how many seconds.

    Raises:
        ValueError: too few jobs ran to say.
    """
    times = numpy.sort(ran[:, 1])[:jobs]
    if len(times) < LEAST:
        raise ValueError(f"only {len(times)} of {jobs} jobs ran")
    first = int(len(times) * warm_up)
    seconds = max(1, int(times[-1] - times[first])) / 1e9
    return {"per_second": (len(times) - 1 - first) / seconds, "seconds": seconds, "ran": len(times)}


def windows(sent: Records, ran: Records, length: float, start: int, end: int) -> list[dict[str, Any]]:
    """Cut the time from `start` to `end` (ns) into windows of `length` seconds.

    Of each: jobs sent and run per second, and how long those that ran in it had waited since their transaction was
    committed, in ms. `sent` has number, time before, time after; `ran` number and time.
    """
    after = dict_of(sent[:, 0], sent[:, 2])
    known = ran[(ran[:, 0] >= 0) & (ran[:, 0] < len(after))]
    waited = (known[:, 1] - after[known[:, 0]]) / 1e6
    cut = []
    for number in range(int((end - start) / 1e9 / length)):
        begin = start + int(number * length * 1e9)
        until = begin + int(length * 1e9)
        inside = (known[:, 1] >= begin) & (known[:, 1] < until)
        ms = waited[inside]
        window: dict[str, Any] = {
            "from": round(number * length, 1),
            "sent_per_second": round(float(((sent[:, 2] >= begin) & (sent[:, 2] < until)).sum()) / length, 1),
            "per_second": round(len(ms) / length, 1),
        }
        if len(ms):
            p50, p99 = numpy.percentile(ms, [50, 99])
            window |= {
                "p50_ms": round(float(p50), 3),
                "p99_ms": round(float(p99), 3),
                "max_ms": round(float(ms.max()), 3),
            }
        cut.append(window)
    return cut


def dict_of(numbers: Records, values: Records) -> Records:
    """Return an array in which the value of a number is at that place. Numbers are from 0 on, and dense."""
    found = numpy.zeros(int(numbers.max(initial=-1)) + 1, dtype=numpy.int64)
    found[numbers] = values
    return found


def median_of(rounds: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> dict[str, Any]:
    """Return one point of several rounds: the median of each measure, beside all that was measured."""
    good = [one for one in rounds if "error" not in one]
    if not good:
        return {"error": rounds[0]["error"]}
    point = dict(good[0])
    for measure in measures:
        values = [one[measure] for one in good if measure in one]
        if values:
            point[measure] = round(statistics.median(values), 1)
            point[f"{measure}_all"] = [round(value, 1) for value in values]
    if errors := [one["error"] for one in rounds if "error" in one]:
        point["errors"] = errors
    return point


def base(points: Sequence[Mapping[str, Any]], measure: str) -> float | None:
    """Return what a series is compared with: its first point that took long enough to be one, if there is any."""
    measured = [point for point in points if measure in point]
    long_enough = [point for point in measured if point.get("seconds", LONG_ENOUGH) >= LONG_ENOUGH]
    return float((long_enough or measured)[0][measure]) if measured else None
