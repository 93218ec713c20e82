"""The spans of what writes jobs: `send mail`, and `publish order.placed` for an event."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind

from pgjobs.tracing import instruments as its
from pgjobs.tracing import names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NO_CONTEXT = frozenset({"publish"})  # operations whose messages carry none: they are no creation context


class SendSpan:
    """Follows one call that writes jobs. Its context is the creation context of all of them."""

    __slots__ = ("_began", "_context", "_many", "_operation", "_span")

    def __init__(self, destination: str | None, *, many: bool, operation: str) -> None:
        self._began = time.time_ns()
        self._many = many
        self._operation = its.operation(operation, "send", destination)
        self._span = its.tracer.start_span(
            self._operation.span,
            kind=SpanKind.CLIENT if operation in NO_CONTEXT else SpanKind.PRODUCER,
            attributes=self._operation.attributes,
            start_time=self._began,
        )
        self._context = trace.set_span_in_context(self._span)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it the context of what runs inside."""
        token = context.attach(self._context)
        try:
            yield
        finally:
            context.detach(token)

    def end(self, ids: Sequence[int], error: BaseException | None = None) -> None:
        """End it: these jobs were written, or it has failed."""
        ended = time.time_ns()
        kind = None if error is None else its.record_error(self._span, error)
        if self._span.is_recording():
            if self._many:
                self._span.set_attribute(names.BATCH_COUNT, len(ids))
            elif len(ids) == 1:
                self._span.set_attribute(names.MESSAGE_ID, str(ids[0]))
        self._span.end(ended)
        its.count_operation(self._operation, max(0, ended - self._began) / 1e9, kind)
        its.count_sent(self._operation, len(ids) or (not self._many), kind)
