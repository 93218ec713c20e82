"""pgjobs: a job runner that needs nothing but PostgreSQL. These are its public names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs.core.version import VERSION

if TYPE_CHECKING:
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
    from pgjobs.db.public_connect import connect, connect_async, database_url
    from pgjobs.diagnose.why import Why, why
    from pgjobs.effects.complete import complete
    from pgjobs.enqueueing import enqueue, enqueue_many
    from pgjobs.events.broadcast import broadcast
    from pgjobs.events.publish import publish
    from pgjobs.events.subscribe import SubscriptionOptions, Topic, subscribe, topic
    from pgjobs.flow.batch import Batch
    from pgjobs.flow.breaker import Breaker
    from pgjobs.flow.limits import declare_limit, declare_queue_limit
    from pgjobs.flow.values import Limit, Sequence, Unique
    from pgjobs.job_results.api import as_completed, result, results
    from pgjobs.job_results.following import follow, progress
    from pgjobs.job_results.looks import Progress
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
    from pgjobs.worker.in_process import Worker
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
    "Worker",
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
# Imported at first use, so that a process loads what it needs: a command no job's machinery, `enqueue` no psycopg.
_LAZY = {
    "Settings": "pgjobs.core.config",
    "configure": "pgjobs.core.config",
    "settings": "pgjobs.core.config",
    "BroadcastError": "pgjobs.core.errors",
    "ConfigurationError": "pgjobs.core.errors",
    "DuplicateJobError": "pgjobs.core.errors",
    "EnqueueError": "pgjobs.core.errors",
    "JobCancelledError": "pgjobs.core.errors",
    "JobFailedError": "pgjobs.core.errors",
    "NoResultError": "pgjobs.core.errors",
    "NotFoundError": "pgjobs.core.errors",
    "PayloadError": "pgjobs.core.errors",
    "PgjobsError": "pgjobs.core.errors",
    "ResultError": "pgjobs.core.errors",
    "ResultTooLargeError": "pgjobs.core.errors",
    "SchemaError": "pgjobs.core.errors",
    "SignatureError": "pgjobs.core.errors",
    "StaleClaimError": "pgjobs.core.errors",
    "UsageError": "pgjobs.core.errors",
    "JobCancelled": "pgjobs.core.interrupts",
    "JobTimeout": "pgjobs.core.interrupts",
    "connect": "pgjobs.db.public_connect",
    "connect_async": "pgjobs.db.public_connect",
    "database_url": "pgjobs.db.public_connect",
    "Why": "pgjobs.diagnose.why",
    "why": "pgjobs.diagnose.why",
    "complete": "pgjobs.effects.complete",
    "enqueue": "pgjobs.enqueueing",
    "enqueue_many": "pgjobs.enqueueing",
    "broadcast": "pgjobs.events.broadcast",
    "publish": "pgjobs.events.publish",
    "SubscriptionOptions": "pgjobs.events.subscribe",
    "Topic": "pgjobs.events.subscribe",
    "subscribe": "pgjobs.events.subscribe",
    "topic": "pgjobs.events.subscribe",
    "Batch": "pgjobs.flow.batch",
    "Breaker": "pgjobs.flow.breaker",
    "declare_limit": "pgjobs.flow.limits",
    "declare_queue_limit": "pgjobs.flow.limits",
    "Limit": "pgjobs.flow.values",
    "Sequence": "pgjobs.flow.values",
    "Unique": "pgjobs.flow.values",
    "as_completed": "pgjobs.job_results.api",
    "result": "pgjobs.job_results.api",
    "results": "pgjobs.job_results.api",
    "follow": "pgjobs.job_results.following",
    "progress": "pgjobs.job_results.following",
    "Progress": "pgjobs.job_results.looks",
    "BatchJob": "pgjobs.jobs.batch_job",
    "Outcomes": "pgjobs.jobs.batch_outcomes",
    "BroadcastHandle": "pgjobs.jobs.broadcast",
    "CurrentJob": "pgjobs.jobs.context",
    "current_job": "pgjobs.jobs.context",
    "Event": "pgjobs.jobs.event",
    "ExistingJob": "pgjobs.jobs.handle",
    "JobHandle": "pgjobs.jobs.handle",
    "Job": "pgjobs.jobs.job",
    "job": "pgjobs.jobs.job",
    "JobArguments": "pgjobs.jobs.options",
    "JobOptions": "pgjobs.jobs.options",
    "OptionChanges": "pgjobs.jobs.options",
    "Cancel": "pgjobs.jobs.outcome",
    "Retry": "pgjobs.jobs.outcome",
    "Snooze": "pgjobs.jobs.outcome",
    "Pipeline": "pgjobs.jobs.pipeline",
    "Stages": "pgjobs.jobs.pipeline",
    "pipeline": "pgjobs.jobs.pipeline",
    "Backoff": "pgjobs.jobs.retry",
    "ExponentialBackoff": "pgjobs.jobs.retry",
    "RetryPolicy": "pgjobs.jobs.retry",
    "job_by_name": "pgjobs.jobs.wire",
    "job_from_function": "pgjobs.jobs.wire",
    "job_with_options": "pgjobs.jobs.wire",
    "Schedule": "pgjobs.schedules.schedule",
    "schedule": "pgjobs.schedules.schedule",
    "Worker": "pgjobs.worker.in_process",
    "WorkflowHandle": "pgjobs.workflows.handle",
    "Step": "pgjobs.workflows.public",
    "Steps": "pgjobs.workflows.public",
    "Workflow": "pgjobs.workflows.public",
    "signal": "pgjobs.workflows.waiting",
    "sleep": "pgjobs.workflows.waiting",
    "wait_for": "pgjobs.workflows.waiting",
}
_MODULES = ("admin", "hooks", "metrics", "tables", "testing")  # public, and found after `import pgjobs` alone


if not TYPE_CHECKING:  # or every name would be right to a type checker

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"pgjobs.{name}")
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LAZY, *_MODULES})
