"""Attaches traces to this process: the hooks, and what follows enqueues, broadcasts and log lines."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.propagate import get_global_textmap
from opentelemetry.trace import get_current_span

from pgjobs.hooks.kinds import around_job, on_enqueue, on_worker_stop
from pgjobs.jobs.tracing import installed
from pgjobs.tracing.carrier import extract, inject
from pgjobs.tracing.options import read_environment
from pgjobs.tracing.processing import BroadcastSpan, JobSpan, failed, fields_of
from pgjobs.tracing.sending import SendSpan

if TYPE_CHECKING:
    from pgjobs.hooks.values import NewJob
    from pgjobs.jobs.tracing import Sending

FLUSH_WITHIN = 4_000  # milliseconds, of traces and of metrics; a worker has ten seconds for all of its end


class _Tracing:
    """See `pgjobs.jobs.tracing.Tracing`."""

    def send(self, destination: str | None, *, many: bool = False, operation: str = "send") -> Sending:
        return SendSpan(destination, many=many, operation=operation)

    def carried(self) -> Mapping[str, str]:
        return inject()

    def passed_on(self, meta: Mapping[str, Any]) -> dict[str, Any]:
        rest = {name: value for name, value in meta.items() if name not in get_global_textmap().fields}
        return {**rest, **added} if (added := inject(rest)) else dict(meta)

    def broadcast(
        self, carried: Mapping[str, Any], destination: str, task: str, id: int
    ) -> AbstractContextManager[object]:
        return BroadcastSpan(carried, destination, task, id)

    def log_fields(self, job: Any = None) -> Mapping[str, str]:
        if job is None:
            return fields_of(get_current_span())
        return failed.pop((job.id, job.attempt), {})


def add_context(new: NewJob) -> Mapping[str, str] | None:
    """Put the context into the metadata of a job, unless it has one. A schedule does not belong to what declares it."""
    if new.schedule is not None:
        return None
    added = inject(new.meta)
    if not added:
        _, given = extract(new.meta)
        if given is not None:
            get_current_span().add_link(given)
    return added


def flush() -> None:
    """Have the SDK send what it holds, if it can: a worker process may be gone soon."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        force = getattr(provider, "force_flush", None)
        if force is not None:
            force(FLUSH_WITHIN)


def install() -> None:
    """Attach all of it; again, it changes nothing."""
    read_environment()
    around_job(JobSpan)
    on_enqueue(add_context)
    on_worker_stop(flush)
    installed.tracing = _Tracing()
