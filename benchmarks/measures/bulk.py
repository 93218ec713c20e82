"""Bulk: the contender's own way to enqueue many, 1,000 jobs a call, one process and one connection."""

from __future__ import annotations

from typing import Any

from benchmarks.running import Sent, Stand

BATCH = 1_000  # jobs a call
LIMIT = 120.0  # seconds


def fill(stand: Stand, jobs: int) -> Sent:
    """Enqueue jobs number 0 and up; job -1 is there too."""
    with stand.producers("bulk", jobs, BATCH) as producers:
        return producers.send(LIMIT)


def bulk(stand: Stand, jobs: int) -> dict[str, Any]:
    """Measure it on empty tables."""
    stand.empty()
    sent = fill(stand, jobs)
    return {"per_second": round(sent.per_second, 1), "jobs": sent.jobs}
