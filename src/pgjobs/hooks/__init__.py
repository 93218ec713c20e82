"""Hooks: functions of an application that run around each job, at each enqueue, and in each worker process.

    from contextlib import contextmanager
    from pgjobs.hooks import around_job


    @around_job
    @contextmanager
    def measure(job):
        started = time.monotonic()
        yield
        print(job.task, time.monotonic() - started)

They belong to the process that imports them: see docs/hooks.md for how workers get to know them. A function that is
registered again, because its module is loaded again, takes the place of the first one.
"""

from __future__ import annotations

from pgjobs.core.errors import HookError
from pgjobs.hooks.kinds import around_job, on_enqueue, on_outcome, on_worker_start, on_worker_stop
from pgjobs.hooks.loading import load
from pgjobs.hooks.values import JobOutcome, NewJob

__all__ = [
    "HookError",
    "JobOutcome",
    "NewJob",
    "around_job",
    "load",
    "on_enqueue",
    "on_outcome",
    "on_worker_start",
    "on_worker_stop",
]
