"""A flow: producers and one worker process at work together, at a rate that is given.

Jobs are enqueued in bulk, 100 a transaction, from four connections of one process; at low rates fewer at a time, so
that each connection sends ten times a second.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from benchmarks.measures.latency import latencies
from benchmarks.running import START_SECONDS, Failed, Stand

CLIENTS = 4
BATCH = 100  # jobs a transaction, at most
BEATS = 10  # transactions a second of a client, at least
SECONDS = 4.0
TOLERANCE = 0.3  # seconds of work that may be left when the last job is enqueued
PATIENCE = 20.0  # seconds for producers that fall behind, and for the last job to run


@dataclass(frozen=True)
class FlowOptions:
    """What went through. `rate`: that came in per second; `served`: that ran in the same time, per second; `backlog`:
    jobs that had not run when the last one was enqueued. `latency`: if all was waited for."""

    asked: float
    rate: float
    served: float
    backlog: int
    latency: dict[str, Any] | None

    @property
    def held(self) -> bool:
        """Whether the queue did not grow."""
        return self.backlog <= max(TOLERANCE * self.rate, CLIENTS)


def flow(stand: Stand, rate: float, *, seconds: float = SECONDS, wait: bool = False) -> FlowOptions:
    """Enqueue and run jobs at this rate. `wait`: until the last one has run, to know how long each took.

    Raises:
        Failed: the producers, or with `wait` the workers, were not done in time; or a process has ended.

    """
    batch = min(BATCH, max(1, int(rate / CLIENTS / BEATS)))
    stand.empty()
    with stand.workers() as workers, stand.producers("paced", rate, seconds, batch, CLIENTS) as producers:
        workers.wait_for(CLIENTS, START_SECONDS)
        time.sleep(0.5)
        producers.begin()
        sent = producers.finish(seconds + PATIENCE)
        if wait:
            workers.wait_for(sent.jobs + CLIENTS, PATIENCE)
        workers.check()
        ran = workers.ran()
        served = sum(1 for number, moment in ran if number >= 0 and moment <= sent.ended)
        return FlowOptions(
            asked=round(rate, 1),
            rate=round(sent.per_second, 1),
            served=round(served / sent.seconds, 1),
            backlog=sent.jobs - served,
            latency=latencies(producers.sent(), ran) if wait else None,
        )


def loaded(stand: Stand, rate: float) -> dict[str, Any]:
    """Measure latency at this rate."""
    found = flow(stand, rate, wait=True)
    if found.latency is None:
        raise Failed("nothing was waited for")
    return {**found.latency, "rate": found.rate, "backlog": found.backlog}
