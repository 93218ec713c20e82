"""Sustained: the highest rate at which the queue does not grow, with producers and one worker process together."""

from __future__ import annotations

from typing import Any

from benchmarks.figures import Probe, next_rate
from benchmarks.measures.flow import flow
from benchmarks.running import Failed, Stand

START = 0.9  # of what a drain does, which has no producers beside it


def sustained(stand: Stand, drained: float) -> dict[str, Any]:
    """Search, from somewhat below `drained` jobs per second downwards.

    Raises:
        Failed: the queue grew at every rate that was tried; or a flow failed.

    """
    probes: list[Probe] = []
    steps: list[dict[str, Any]] = []
    while (rate := next_rate(START * drained, probes)) is not None:
        found = flow(stand, rate)
        probes.append(Probe(found.rate, found.served, found.held))
        steps.append({"asked": found.asked, "rate": found.rate, "served": found.served, "backlog": found.backlog})
    held = [probe.rate for probe in probes if probe.held]
    if not held:
        raise Failed(f"the queue grew at {probes[-1].rate:,.0f}/s, and at every rate above")
    return {"per_second": max(held), "probes": steps}
