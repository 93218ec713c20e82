"""Spans around jobs: links, errors, metrics, and the fields of log lines."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.trace import SpanKind, StatusCode

from pgjobs import Batch, Cancel, Snooze, job
from pgjobs.jobs.outcome import Completed, Failed, Outcome, Retried
from pgjobs.payload.pickling import Call
from pgjobs.tracing.options import configure
from pgjobs.worker.acknowledge.outcome_log import report
from pgjobs.worker.executors.awaiting import KeptLoop, Rest
from pgjobs.worker.executors.batches import BatchCall
from pgjobs.worker.executors.invoke import await_here, call_now
from pgjobs.worker.local.claimed_batch import batch_of
from tests.support.claimed import claimed_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tracing.conftest import Seen

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
META = {"user": 7, "traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "shop=1", "baggage": "tenant=north"}


def run(function: Callable[..., Any], *, told: bool = False, **fields: Any) -> Outcome:
    """Run it as a job in this thread, and give its outcome. `told`: a failure is logged."""
    context, claimed, loop = Context(), claimed_job(**fields), KeptLoop()
    try:
        done = context.run(call_now, claimed, Call(function, (), {}))
        outcome = context.run(await_here, claimed, done, loop, None) if isinstance(done, Rest) else done
    finally:
        loop.close()
    if told and isinstance(outcome, Retried | Failed):
        report(claimed, outcome)
    return outcome


def work() -> None:
    with trace.get_tracer("test").start_as_current_span("inside"):
        assert baggage.get_baggage("tenant") == "north"


async def work_later() -> None:
    await asyncio.sleep(0)
    work()


def returns_awaitable() -> Any:
    return work_later()


@pytest.mark.parametrize("function", [work, work_later, returns_awaitable])
def test_job_is_a_consumer_span_of_its_own_trace_linked_to_the_one_that_sent_it(
    seen: Seen, function: Callable[..., Any]
) -> None:
    run(function, id=42, queue="mail", task="shop:send", attempt=2, max_attempts=3, meta=META)

    span, inside = seen.span("process mail"), seen.span("inside")
    assert (span.kind, span.parent, span.status.status_code) == (SpanKind.CONSUMER, None, StatusCode.UNSET)
    (link,) = span.links
    assert (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") == (TRACE, SPAN)
    assert span.attributes is not None
    assert span.attributes["messaging.client.id"]
    assert {name: value for name, value in span.attributes.items() if name != "messaging.client.id"} == {
        "messaging.system": "pgjobs",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": "42",
        "messaging.pgjobs.task": "shop:send",
        "messaging.pgjobs.message.attempt": 2,
        "messaging.pgjobs.message.max_attempts": 3,
    }
    assert inside.parent == span.get_span_context()


def test_parent_is_the_span_that_sent_the_job_where_that_is_asked_for(seen: Seen) -> None:
    configure(parent=True)
    run(work, queue="mail", meta=META)

    span = seen.span("process mail")
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
    assert len(span.links) == 1


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {},
        {"traceparent": 7},
        {"traceparent": ["00", {}]},
        {"traceparent": "\x1b[2J" * 100},
        {"traceparent": "x" * 4_000, "tracestate": "=" * 3_000, "baggage": "%%%,=,;"},
        {"traceparent": META["traceparent"], "tracestate": {"a": 1}},
    ],
)
def test_job_runs_whatever_its_metadata_holds(seen: Seen, meta: Any) -> None:
    assert isinstance(run(int, queue="mail", meta=meta), Completed)
    assert seen.span("process mail").status.status_code is StatusCode.UNSET


def fail() -> None:
    raise ValueError("no \x1b[31mred\x00 " + "long" * 300_000 + "\ud800")


async def fail_later() -> None:
    fail()


@pytest.mark.parametrize("function", [fail, fail_later])
def test_failure_is_an_error_with_bounded_text_that_any_exporter_can_send(
    seen: Seen, function: Callable[..., Any]
) -> None:
    run(function, queue="mail")

    span = seen.span("process mail")
    assert span.attributes is not None
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "ValueError")
    (event,) = span.events
    assert event.name == "exception"
    assert event.attributes is not None
    texts = [str(event.attributes[name]) for name in ("exception.message", "exception.stacktrace")]
    texts.append(str(span.status.description))
    for text in texts:
        assert len(text.encode()) < 20_000
        assert "\x1b" not in text
        assert "\x00" not in text
    assert "in fail\n" in texts[1]


def snooze() -> None:
    raise Snooze(5)


def cancel() -> None:
    raise Cancel("enough")


@pytest.mark.parametrize("function", [snooze, cancel])
def test_what_a_job_asks_for_leaves_the_status_unset(seen: Seen, function: Callable[..., Any]) -> None:
    run(function, queue="mail")

    assert seen.span("process mail").status.status_code is StatusCode.UNSET


@job(batch=Batch(10))
def index(items: list[int]) -> None: ...


def test_batch_is_one_span_with_a_link_for_each_of_its_jobs(seen: Seen) -> None:
    configure(parent=True)
    metas = [{"traceparent": f"00-{TRACE}-{n:016x}-01"} for n in (1, 2)]
    batch = batch_of([claimed_job(id=n, queue="mail", meta=meta) for n, meta in enumerate([*metas, None], 1)])
    Context().run(call_now, batch, BatchCall(index, [0, 1, 2], [index] * 3))

    span = seen.span("process mail")
    assert span.attributes is not None
    assert (span.parent, span.attributes["messaging.batch.message_count"]) == (None, 3)
    assert [(link.context.span_id, dict(link.attributes or {})) for link in span.links] == [
        (1, {"messaging.message.id": "1"}),
        (2, {"messaging.message.id": "2"}),
    ]
    (consumed,) = seen.points()["messaging.client.consumed.messages"]
    assert consumed.value == 3


def closed() -> None:
    raise ValueError("closed")


def test_log_lines_have_the_ids_of_the_span_also_that_of_the_failure(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    run(closed, told=True, queue="mail")

    context = seen.span("process mail").get_span_context()
    assert context is not None
    (line,) = [record for record in caplog.records if record.name == "pgjobs.job"]
    assert vars(line)["trace_id"] == f"{context.trace_id:032x}"
    assert vars(line)["span_id"] == f"{context.span_id:016x}"


def test_durations_and_counts_are_those_of_the_conventions(seen: Seen) -> None:
    run(int, queue="mail")
    run(closed, queue="mail")

    points, spans = seen.points(), seen.spans("process mail")
    assert set(points) == {"messaging.process.duration", "messaging.client.consumed.messages"}
    for point, span in zip(points["messaging.process.duration"], spans, strict=True):
        assert span.end_time is not None
        assert span.start_time is not None
        assert point.sum == pytest.approx((span.end_time - span.start_time) / 1e9)
        assert point.explicit_bounds[0] == 0.005
        assert point.attributes.get("error.type") == (span.attributes or {}).get("error.type")
    (consumed,) = points["messaging.client.consumed.messages"]
    assert (consumed.value, dict(consumed.attributes)) == (
        2,
        {
            "messaging.system": "pgjobs",
            "messaging.operation.name": "process",
            "messaging.destination.name": "mail",
        },
    )


def test_tracer_that_fails_fails_no_job(
    seen: Seen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("the collector is gone")

    monkeypatch.setattr("pgjobs.tracing.processing.its.tracer.start_span", broken, raising=False)
    with caplog.at_level(logging.ERROR, "pgjobs.otel"):
        assert isinstance(run(int, queue="mail"), Completed)
    assert "could not begin" in caplog.text


def test_names_that_are_hostile_are_escaped_in_spans_and_metrics(seen: Seen) -> None:
    hostile = "\x1b]0;title\x07\x9b2J\u202e\n<script>" + "x" * 500
    run(int, queue=hostile, task=hostile)

    (span,) = seen.spans()
    (point,) = seen.points()["messaging.process.duration"]
    texts = [span.name, *map(str, (span.attributes or {}).values()), *map(str, point.attributes.values())]
    assert all(text.isprintable() and len(text) < 250 for text in texts)
    assert "\\x1b]0;title" in span.name
