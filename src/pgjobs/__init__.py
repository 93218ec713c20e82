"""pgjobs: a job runner that needs nothing but PostgreSQL. These are its public names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs.core.config import Settings, configure, settings
from pgjobs.core.errors import (
    BroadcastError,
    ConfigurationError,
    DuplicateJobError,
    EnqueueError,
    JobCancelledError,
    JobFailedError,
    NoResultError,
    NotFoundError,
    PayloadError,
    PgjobsError,
    ResultError,
    ResultTooLargeError,
    SchemaError,
    SignatureError,
    StaleClaimError,
    UsageError,
)
from pgjobs.core.interrupts import JobCancelled, JobTimeout
from pgjobs.core.version import VERSION
from pgjobs.effects.complete import complete
from pgjobs.enqueue import enqueue, enqueue_many
from pgjobs.events.broadcast import broadcast
from pgjobs.events.publish import publish
from pgjobs.events.subscribe import SubscriptionOptions, Topic, subscribe, topic
from pgjobs.flow.batch import Batch
from pgjobs.flow.breaker import Breaker
from pgjobs.flow.limits import declare_limit, declare_queue_limit
from pgjobs.flow.values import Limit, Sequence, Unique
from pgjobs.jobs.batch_job import BatchJob
from pgjobs.jobs.batch_outcomes import Outcomes
from pgjobs.jobs.broadcast import BroadcastHandle
from pgjobs.jobs.context import CurrentJob, current_job
from pgjobs.jobs.event import Event
from pgjobs.jobs.handle import ExistingJob, JobHandle
from pgjobs.jobs.job import Job, job
from pgjobs.jobs.options import JobArguments, JobOptions, OptionChanges
from pgjobs.jobs.outcome import Cancel, Retry, Snooze
from pgjobs.jobs.pipeline import Pipeline, Stages, pipeline
from pgjobs.jobs.retry import Backoff, ExponentialBackoff, RetryPolicy
from pgjobs.jobs.wire import job_by_name as job_by_name  # not in __all__: payloads name these three
from pgjobs.jobs.wire import job_from_function as job_from_function
from pgjobs.jobs.wire import job_with_options as job_with_options
from pgjobs.schedules.schedule import Schedule, schedule

if TYPE_CHECKING:
    from pgjobs.db.public_connect import connect, connect_async, database_url
    from pgjobs.diagnose.why import Why, why
    from pgjobs.job_results.api import as_completed, result, results
    from pgjobs.job_results.following import follow, progress
    from pgjobs.job_results.looks import Progress
    from pgjobs.workflows.handle import WorkflowHandle
    from pgjobs.workflows.public import Step, Steps, Workflow
    from pgjobs.workflows.waiting import signal, sleep, wait_for

__version__ = VERSION

__all__ = [
    "Backoff",
    "Batch",
    "BatchJob",
    "Breaker",
    "BroadcastError",
    "BroadcastHandle",
    "Cancel",
    "ConfigurationError",
    "CurrentJob",
    "DuplicateJobError",
    "EnqueueError",
    "Event",
    "ExistingJob",
    "ExponentialBackoff",
    "Job",
    "JobArguments",
    "JobCancelled",
    "JobCancelledError",
    "JobFailedError",
    "JobHandle",
    "JobOptions",
    "JobTimeout",
    "Limit",
    "NoResultError",
    "NotFoundError",
    "OptionChanges",
    "Outcomes",
    "PayloadError",
    "PgjobsError",
    "Pipeline",
    "Progress",
    "ResultError",
    "ResultTooLargeError",
    "Retry",
    "RetryPolicy",
    "Schedule",
    "SchemaError",
    "Sequence",
    "Settings",
    "SignatureError",
    "Snooze",
    "Stages",
    "StaleClaimError",
    "Step",
    "Steps",
    "SubscriptionOptions",
    "Topic",
    "Unique",
    "UsageError",
    "Why",
    "Workflow",
    "WorkflowHandle",
    "__version__",
    "as_completed",
    "broadcast",
    "complete",
    "configure",
    "connect",
    "connect_async",
    "current_job",
    "database_url",
    "declare_limit",
    "declare_queue_limit",
    "enqueue",
    "enqueue_many",
    "follow",
    "job",
    "pipeline",
    "progress",
    "publish",
    "result",
    "results",
    "schedule",
    "settings",
    "signal",
    "sleep",
    "subscribe",
    "topic",
    "wait_for",
    "why",
]
_LAZY = {  # imported at first use: they need psycopg, which enqueue may do without
    "Why": "pgjobs.diagnose.why",
    "Progress": "pgjobs.job_results.looks",
    "connect": "pgjobs.db.public_connect",
    "connect_async": "pgjobs.db.public_connect",
    "database_url": "pgjobs.db.public_connect",
    "follow": "pgjobs.job_results.following",
    "progress": "pgjobs.job_results.following",
    "as_completed": "pgjobs.job_results.api",
    "result": "pgjobs.job_results.api",
    "results": "pgjobs.job_results.api",
    "why": "pgjobs.diagnose.why",
    "Step": "pgjobs.workflows.public",
    "Steps": "pgjobs.workflows.public",
    "Workflow": "pgjobs.workflows.public",
    "WorkflowHandle": "pgjobs.workflows.handle",
    "signal": "pgjobs.workflows.waiting",
    "sleep": "pgjobs.workflows.waiting",
    "wait_for": "pgjobs.workflows.waiting",
}


if not TYPE_CHECKING:  # or every name would be right to a type checker

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
