"""A test kit: assert what was enqueued, and run jobs in the test's own transaction. See docs/testing.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgjobs.testing.async_jobs import AsyncClock, AsyncJobs
    from pgjobs.testing.jobs import Clock, Jobs
    from pgjobs.testing.outcomes import Drained, Ran, TestJob
    from pgjobs.testing.real_worker import RealWorker
    from pgjobs.testing.running import running

__all__ = ["AsyncClock", "AsyncJobs", "Clock", "Drained", "Jobs", "Ran", "RealWorker", "TestJob", "running"]
# Imported at first use: pytest imports the plugin in each of its runs, and most tests need nothing of this.
_LAZY = {
    "AsyncClock": "pgjobs.testing.async_jobs",
    "AsyncJobs": "pgjobs.testing.async_jobs",
    "Clock": "pgjobs.testing.jobs",
    "Drained": "pgjobs.testing.outcomes",
    "Jobs": "pgjobs.testing.jobs",
    "Ran": "pgjobs.testing.outcomes",
    "RealWorker": "pgjobs.testing.real_worker",
    "TestJob": "pgjobs.testing.outcomes",
    "running": "pgjobs.testing.running",
}


if not TYPE_CHECKING:  # or every name would be right to a type checker

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value
