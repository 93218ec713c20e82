"""The context of a trace in the metadata of a job: `traceparent`, `tracestate`, and what else propagators write.

Nothing here fails a job: what does not fit into the metadata is left out, and what cannot be read counts as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import INVALID_SPAN, SpanContext

from pgjobs.jobs.meta import MAX_META, meta_size

TRACEPARENT = "traceparent"
MAX_VALUE = 2_000  # characters of one value that is read: baggage may be long

processed: ContextVar[Context | None] = ContextVar("pgjobs_otel_processed", default=None)
"""The context of the job that has run here: what it adds to its workflow is encoded after it has returned."""


def inject(meta: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return what is added to `meta` for the context here; nothing where it has a context already, or none is here."""
    if meta and TRACEPARENT in meta:
        return {}
    here: Context | None = None
    if not trace.get_current_span().get_span_context().is_valid:
        here = processed.get()
    carrier: dict[str, str] = {}
    propagate.inject(carrier, here)
    first = {name: carrier.pop(name) for name in (TRACEPARENT, "tracestate") if name in carrier}
    added: dict[str, str] = {}
    for name, value in (first | carrier).items():
        if meta_size({**(meta or {}), **added, name: value}) <= MAX_META:
            added[name] = value
    return added if TRACEPARENT in added or TRACEPARENT not in first else {}


class _OfMeta(Getter[Mapping[str, Any]]):
    """Reads metadata, which anybody may have written: only texts of a bounded length count."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        value = carrier.get(key)
        return [value] if isinstance(value, str) and len(value) <= MAX_VALUE else None

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return list(carrier)


_GETTER = _OfMeta()


def extract(meta: Mapping[str, Any]) -> tuple[Context, SpanContext | None]:
    """Return the context that metadata carries, with all that propagators know, and the span in it (None: no span)."""
    if not meta:
        return get_current(), None
    try:
        found = propagate.extract(meta, get_current(), _GETTER)
    except Exception:  # a propagator that fails on what it does not know
        return get_current(), None
    span = trace.get_current_span(found).get_span_context()
    return found, span if span.is_valid else None


def without_parent(context: Context) -> Context:
    """Return the same context, in which a span begins a trace of its own."""
    return trace.set_span_in_context(INVALID_SPAN, context)
