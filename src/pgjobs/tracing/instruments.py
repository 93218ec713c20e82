"""The tracer, the four metrics of messaging, and what all spans and metrics of this process have in common."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry.trace import Status, StatusCode

from pgjobs.core.config import settings
from pgjobs.core.text import describe, label
from pgjobs.core.version import VERSION
from pgjobs.db.url import libpq_url
from pgjobs.tracing import names

if TYPE_CHECKING:
    from opentelemetry.trace import Span

log = logging.getLogger("pgjobs.otel")
SYSTEM = "pgjobs"
_SCOPE = "pgjobs"

tracer = trace.get_tracer(_SCOPE, VERSION)
_meter = metrics.get_meter(_SCOPE, VERSION)
_sent = _meter.create_counter(
    names.SENT_MESSAGES, "{message}", "Number of messages producer attempted to send to the broker."
)
_consumed = _meter.create_counter(
    names.CONSUMED_MESSAGES, "{message}", "Number of messages that were delivered to the application."
)
_operation = _meter.create_histogram(
    names.OPERATION_DURATION,
    "s",
    "Duration of messaging operation initiated by a producer or consumer client.",
    explicit_bucket_boundaries_advisory=names.BUCKETS,
)
_process = _meter.create_histogram(
    names.PROCESS_DURATION,
    "s",
    "Duration of processing operation.",
    explicit_bucket_boundaries_advisory=names.BUCKETS,
)


class Operation(NamedTuple):
    """What spans and metrics of an operation have in common. `attributes`: of its spans; samplers see all of them."""

    span: str
    attributes: Mapping[str, str | int]
    in_metrics: Mapping[str, str | int]


def operation(name: str, kind: str, destination: str | None) -> Operation:
    """Return what spans and metrics of an operation have in common."""
    return _operation_of(name, kind, destination, settings().database_url)


@lru_cache(1_000)
def _operation_of(name: str, kind: str, destination: str | None, url: str | None) -> Operation:
    attributes: dict[str, str | int] = {names.SYSTEM: SYSTEM, names.OPERATION_NAME: name, **server(url)}
    shown = None if destination is None else label(destination)
    if shown is not None:
        attributes[names.DESTINATION] = shown
    span = name if shown is None else f"{name} {shown}"
    return Operation(span, {**attributes, names.OPERATION_TYPE: kind}, attributes)


@lru_cache(8)
def server(url: str | None) -> Mapping[str, str | int]:
    """Return address and port of the configured database; of several servers, those of the first."""
    if url is None:
        return {}
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(libpq_url(url))
    except Exception:  # the connection itself says why
        return {}
    host = str(parts.get("host") or parts.get("hostaddr") or "").split(",")[0]
    port = str(parts.get("port") or "5432").split(",")[0]
    if not host:
        return {}
    return {names.SERVER_ADDRESS: label(host), **({names.SERVER_PORT: int(port)} if port.isdecimal() else {})}


@lru_cache(1)
def _client_id(pid: int) -> str:
    return f"{socket.gethostname()}-{pid}"


def client_id() -> str:
    """Return what tells this process from others."""
    return _client_id(os.getpid())


def error_type(error: BaseException) -> str:
    """Return the name of an exception's class, with its module unless it is built in.

    >>> error_type(ValueError()), error_type(PermissionError())
    ('ValueError', 'PermissionError')

    """
    kind = type(error)
    name = str(type.__dict__["__qualname__"].__get__(kind))  # past what its metaclass may answer
    module = kind.__dict__.get("__module__")
    return label(name if not isinstance(module, str) or module == "builtins" else f"{module}.{name}")


def record_error(span: Span, error: BaseException) -> str:
    """Put an error into a span, as bounded text that any exporter can send, and return its type."""
    kind = error_type(error)
    if span.is_recording():
        line, trace_text = describe(error)
        span.set_attribute(names.ERROR_TYPE, kind)
        span.set_status(Status(StatusCode.ERROR, line))
        span.add_event(
            "exception",
            {names.EXCEPTION_TYPE: kind, names.EXCEPTION_MESSAGE: line, names.EXCEPTION_STACKTRACE: trace_text},
        )
    return kind


def count_operation(of: Operation, seconds: float, error: str | None) -> None:
    """Record that an operation of a client has taken this long."""
    _operation.record(seconds, _with_error(of.attributes, error))


def count_sent(of: Operation, messages: int, error: str | None) -> None:
    """Record how many messages were sent, or tried to."""
    if messages:
        _sent.add(messages, _with_error(of.in_metrics, error))


def count_consumed(of: Operation, messages: int) -> None:
    """Record how many messages were delivered to a function."""
    _consumed.add(messages, of.in_metrics)


def count_processed(of: Operation, seconds: float, error: str | None) -> None:
    """Record that a function has taken this long."""
    _process.record(seconds, _with_error(of.in_metrics, error))


def _with_error(attributes: Mapping[str, str | int], error: str | None) -> Mapping[str, str | int]:
    return attributes if error is None else {**attributes, names.ERROR_TYPE: error}
