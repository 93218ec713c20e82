"""What is done with numbers: percentiles, spreads, ratios, and the search for a rate. Nothing here measures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

PROBES = 5  # of a search
LITTLE_LESS = 0.9
NEAR = 1.06  # a search ends when what failed is no more than this times what held


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of the values of all rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread | None:
    """Return the spread of some values; None where there are none."""
    return Spread(statistics.median(values), min(values), max(values)) if values else None


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the percentile: one of the values, without interpolation."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(0, int(rank) - 1)]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return what the tables show of latencies."""
    shown = {f"p{percent}": percentile(values, percent) for percent in (50, 95, 99)}
    return {name: round(value, 3) for name, value in {**shown, "max": max(values)}.items()}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Return ours ÷ theirs. Where both were measured in the same rounds, the median of the rounds' own ratios.

    A round lasts a minute, a run much longer: what slows the machine down for a while slows both values of a round.
    """
    if not ours or not theirs:
        return None
    if len(ours) == len(theirs):
        return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return statistics.median(ours) / statistics.median(theirs)


@dataclass(frozen=True)
class Probe:
    """One step of a search. `rate`: what came in, per second; `served`: what ran in the same time; `held`: the queue
    did not grow."""

    rate: float
    served: float
    held: bool


def next_rate(ceiling: float, probes: Sequence[Probe]) -> float | None:
    """Return the rate to try next, or None when the search is over.

    From the ceiling downwards. After the first failure half way between what came in and what was served, because
    workers do better when producers leave them more of the machine; after the next a little less than what was served.
    Once a rate has held, between it and the lowest that failed.
    """
    if not probes:
        return ceiling
    if len(probes) >= PROBES:
        return None
    held = max((probe.rate for probe in probes if probe.held), default=0.0)
    failed = min((probe.rate for probe in probes if not probe.held), default=0.0)
    if not failed or (held and failed / held <= NEAR):
        return None
    if held:
        return math.sqrt(held * failed)
    served = min(probes[-1].served, failed)
    if len(probes) == 1 or not served:
        return (failed + served) / 2
    return LITTLE_LESS * served
