"""Pick-up latency: how long after its commit a job runs. Of an idle worker here; under load it is that of a flow.

Times are the system clock's, of one machine. `after` counts from when the producer has the server's answer to its
commit: a job that runs before that has a negative one. `before` counts from before the INSERT is sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from benchmarks.figures import percentiles
from benchmarks.measures.memory import IDLE_SECONDS, memory
from benchmarks.running import START_SECONDS, Failed, Stand

RATE = 20  # jobs a second, at random around an even beat
SECONDS = 5
PATIENCE = 20.0  # seconds for the last job to run


def idle(stand: Stand) -> dict[str, Any]:
    """Measure memory, and then latency, of one worker process that has next to nothing to do.

    Raises:
        Failed: a job did not run in time.

    """
    stand.empty()
    with stand.workers() as workers, stand.producers("paced", RATE, SECONDS, 1, 1) as producers:
        workers.wait_for(1, START_SECONDS)
        time.sleep(IDLE_SECONDS)
        footprint = memory(workers)
        sent = producers.send(SECONDS + PATIENCE)
        workers.wait_for(sent.jobs + 1, PATIENCE)
        return {**latencies(producers.sent(), workers.ran()), "jobs": sent.jobs, "memory": footprint}


def latencies(sent: Iterable[tuple[int, int, int]], ran: Iterable[tuple[int, int]]) -> dict[str, dict[str, float]]:
    """Return percentiles in milliseconds, for jobs that ran (the first time) after they were sent.

    Raises:
        Failed: there is one that did not run.

    """
    first: dict[int, int] = {}
    for number, moment in ran:
        first.setdefault(number, moment)
    after, before = [], []
    for number, began, committed in sent:
        if number not in first:
            raise Failed(f"job {number} never ran")
        after.append((first[number] - committed) / 1e6)
        before.append((first[number] - began) / 1e6)
    return {"after": percentiles(after), "before": percentiles(before)}
