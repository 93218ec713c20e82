"""The spans around jobs and broadcasts that run here: `process mail`.

They link to the span that has sent the job. Only on request that one is their parent, as a trace would otherwise last
as long as the last retry of the last job. A batch has a link for each of its jobs.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextvars import Token
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.trace import Link, SpanKind

from pgjobs.core.text import label
from pgjobs.jobs.batch_outcomes import Outcomes
from pgjobs.jobs.outcome import Cancel, Snooze, Suspended
from pgjobs.jobs.transaction_batch import BATCH_JOBS
from pgjobs.tracing import instruments as its
from pgjobs.tracing import names
from pgjobs.tracing.carrier import extract, processed, without_parent
from pgjobs.tracing.options import options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from pgjobs.jobs.context import CurrentJob

MAX_FAILED = 10_000  # jobs whose line in the log is still to come
_NO_ERRORS = (Snooze, Cancel, Suspended, Outcomes)  # what they say of single jobs is in their outcomes

failed: OrderedDict[tuple[int, int], Mapping[str, str]] = OrderedDict()
"""The fields of the log lines about attempts that have failed here, by job and attempt."""


class ProcessSpan:
    """A context manager around what runs here. `messages`: the id of each, and what it carries."""

    __slots__ = ("_began", "_more", "_operation", "_span", "_token")

    def __init__(self, destination: str, more: Mapping[str, str | int]) -> None:
        self._operation = its.operation("process", "process", destination)
        self._more = more
        self._began = 0
        self._span: Span = trace.INVALID_SPAN
        self._token: Token[Context] | None = None

    def begin(self, messages: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Begin the span, and make it the context of what runs from here on."""
        alone = len(messages) == 1
        links: list[Link] = []
        here = context.get_current()
        for message, meta in messages:
            found, sent = extract(meta)
            if sent is not None:
                links.append(Link(sent, None if alone else {names.MESSAGE_ID: str(message)}))
            if alone:
                here = found if options.parent else without_parent(found)
        self._began = time.time_ns()
        self._span = its.tracer.start_span(
            self._operation.span,
            here,
            SpanKind.CONSUMER,
            {**self._operation.attributes, **self._more, names.CLIENT_ID: its.client_id()},
            links,
            self._began,
        )
        inside = trace.set_span_in_context(self._span, here)
        processed.set(inside)
        self._token = context.attach(inside)
        its.count_consumed(self._operation, len(messages))

    def finish(self, error: BaseException | None) -> str | None:
        """End the span, and return the type of the error, if it is one."""
        if self._token is None:
            return None
        context.detach(self._token)
        ended = time.time_ns()
        kind = None
        if error is not None and not isinstance(error, _NO_ERRORS):
            kind = its.record_error(self._span, error)
        self._span.end(ended)
        its.count_processed(self._operation, max(0, ended - self._began) / 1e9, kind)
        return kind

    def log_fields(self) -> Mapping[str, str]:
        """Return the fields of log lines about it."""
        return fields_of(self._span)


class JobSpan:
    """The hook around each job."""

    __slots__ = ("_job", "_span")

    def __init__(self, job: CurrentJob) -> None:
        self._job = job
        self._span: ProcessSpan | None = None

    def __enter__(self) -> None:
        job = self._job
        try:
            members = job.members
            function: Any = job._job.function
            is_batch = type(function) in BATCH_JOBS or len(members) > 1
            more: dict[str, str | int] = {names.TASK: label(job.task)}
            if is_batch:
                more[names.BATCH_COUNT] = len(members)
            if len(members) == 1:
                more[names.MESSAGE_ID] = str(job.id)
                more[names.ATTEMPT] = job.attempt
                more[names.MAX_ATTEMPTS] = job.max_attempts
            head = getattr(function, "head", None)
            if isinstance(head, dict) and "workflow" in head:
                more[names.CONVERSATION_ID] = str(head["workflow"])
            self._span = span = ProcessSpan(job.queue, more)
            span.begin([(member.id, member.meta) for member in members])
        except Exception:  # no job fails because it cannot be followed
            its.log.exception("the span of job %d could not begin", job.id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        span, job = self._span, self._job
        if span is None:
            return
        try:
            if span.finish(error) is not None:
                fields = span.log_fields()
                for member in job.members:
                    failed[member.id, member.attempt] = fields
                while len(failed) > MAX_FAILED:
                    failed.popitem(last=False)
        except Exception:
            its.log.exception("the span of job %d could not end", job.id)


class BroadcastSpan:
    """Around the run of a broadcast. `head`: what it carries."""

    __slots__ = ("_head", "_id", "_span")

    def __init__(self, head: Mapping[str, Any], destination: str, task: str, id: int) -> None:
        self._head, self._id = head, id
        self._span = ProcessSpan(destination, {names.TASK: label(task), names.MESSAGE_ID: str(id)})

    def __enter__(self) -> None:
        try:
            self._span.begin([(self._id, self._head)])
        except Exception:
            its.log.exception("the span of broadcast %d could not begin", self._id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._span.finish(error)
        except Exception:
            its.log.exception("the span of broadcast %d could not end", self._id)


def fields_of(span: Span) -> Mapping[str, str]:
    """Return the fields of log lines that are written in a span; none if there is no span."""
    found = span.get_span_context()
    if not found.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(found.trace_id), "span_id": trace.format_span_id(found.span_id)}
