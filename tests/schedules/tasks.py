"""Schedules, as an application declares them: `pgjobs work --import tests.schedules.tasks`."""

from __future__ import annotations

import os
import threading
import time

from pgjobs import job, schedule

_runs = threading.Lock()
CRON = os.environ.get("TEST_CRON", "0 9 * * MON-FRI")


@job(queue="reports", payload="json", max_attempts=2)
def report(kind: str = "daily", *, copy: bool = False) -> None:
    """Report."""


def tidy() -> None:
    """Tidy up."""


@job
def sync(number: int) -> None:
    """Synchronise."""


@job(limit="scheduled:{number}")
def one_at_a_time(number: int) -> None:
    """Take longer than it takes until the next one is due, if there are two; fail where one runs already."""
    if not _runs.acquire(blocking=False):
        raise RuntimeError("two at once")
    try:
        time.sleep(0.4)
    finally:
        _runs.release()


for name in os.environ.get("TEST_LIMITED", "").split():
    schedule(CRON, one_at_a_time, args=(7,), name=name)
for name in os.environ.get("TEST_SCHEDULES", "").split():
    schedule(CRON, sync, args=(len(name),), name=name, tz="Europe/Berlin")
