"""pgjobs: a job runner that needs nothing but PostgreSQL. These are its public names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs.breaker import Breaker
from pgjobs.context import CurrentJob, current_job
from pgjobs.enqueue import enqueue, enqueue_many
from pgjobs.errors import (
    ConfigurationError,
    DuplicateJobError,
    EnqueueError,
    NotFoundError,
    PayloadError,
    PgjobsError,
    SchemaError,
    SignatureError,
    UsageError,
)
from pgjobs.handle import JobHandle
from pgjobs.job import Job, job
from pgjobs.limits import limit, queue_limit
from pgjobs.options import JobOptions
from pgjobs.outcome import Cancel, JobCancelled, JobTimeout, Retry, Snooze
from pgjobs.release import VERSION
from pgjobs.retry import Exponential
from pgjobs.schedule import Schedule, schedule
from pgjobs.settings import Settings, configure, settings
from pgjobs.unique import by

if TYPE_CHECKING:
    from pgjobs.admin.why import Why, why

__version__ = VERSION

__all__ = [
    "Breaker",
    "Cancel",
    "ConfigurationError",
    "CurrentJob",
    "DuplicateJobError",
    "EnqueueError",
    "Exponential",
    "Job",
    "JobCancelled",
    "JobHandle",
    "JobOptions",
    "JobTimeout",
    "NotFoundError",
    "PayloadError",
    "PgjobsError",
    "Retry",
    "Schedule",
    "SchemaError",
    "Settings",
    "SignatureError",
    "Snooze",
    "UsageError",
    "Why",
    "__version__",
    "by",
    "configure",
    "current_job",
    "enqueue",
    "enqueue_many",
    "job",
    "limit",
    "queue_limit",
    "schedule",
    "settings",
    "why",
]
_LAZY = {"Why": "pgjobs.admin.why", "why": "pgjobs.admin.why"}  # what needs psycopg, which enqueue may do without


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
