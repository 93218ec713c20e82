"""Spans around what writes jobs, and what jobs carry of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from pgjobs import EnqueueError, Workflow, broadcast, enqueue, enqueue_many, job, publish
from pgjobs.core.config import configure
from pgjobs.hooks import on_enqueue
from pgjobs.jobs.meta import MAX_META, meta_size
from pgjobs.schedules import schedule as schedules
from pgjobs.schedules.schedule import schedule
from tests.support.functions import add

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from tests.tracing.conftest import Seen

COMMON = {"messaging.system": "pgjobs", "messaging.operation.name": "send", "messaging.operation.type": "send"}


def meta_of(conn: psycopg.Connection, id: int) -> dict[str, Any]:
    row = conn.execute("SELECT meta FROM pgjobs.jobs WHERE id = %s", [id]).fetchone()
    assert row is not None
    return row[0] or {}


def traceparent(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def test_enqueue_is_a_producer_span_whose_context_travels_in_the_metadata(conn: psycopg.Connection, seen: Seen) -> None:
    configure(database_url="postgresql://shop:secret@db.internal:6432/shop")
    with trace.get_tracer("test").start_as_current_span("request") as request:
        handle = enqueue(conn, add_job.options(meta={"user": 7}), 1, 2)

    span = seen.span("send sums")
    assert span.kind is SpanKind.PRODUCER
    assert span.parent == request.get_span_context()
    assert dict(span.attributes or {}) == {
        **COMMON,
        "messaging.destination.name": "sums",
        "messaging.message.id": str(handle.id),
        "server.address": "db.internal",
        "server.port": 6432,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert meta_of(conn, handle.id) == {"user": 7, "traceparent": traceparent(span)}


@job(queue="sums")
def add_job(a: int, b: int) -> int:
    return a + b


def test_enqueue_many_is_one_span_and_creation_context_of_all(conn: psycopg.Connection, seen: Seen) -> None:
    handles = enqueue_many(conn, add_job, [(1, 2), (3, 4), (5, 6)])

    span = seen.span("send sums")
    assert span.attributes is not None
    assert (span.kind, span.attributes["messaging.batch.message_count"]) == (SpanKind.PRODUCER, 3)
    assert "messaging.message.id" not in span.attributes
    assert {meta_of(conn, handle.id)["traceparent"] for handle in handles} == {traceparent(span)}
    (sent,) = seen.points()["messaging.client.sent.messages"]
    assert sent.value == 3


async def _enqueue(url: str) -> list[int]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        one = await enqueue(conn, add_job, 1, 2)
        return [one.id, *(handle.id for handle in await enqueue_many(conn, add_job, [(1, 2), (3, 4)]))]


def test_spans_of_async_connections_end_when_the_jobs_are_written(
    database_url: str, conn: psycopg.Connection, seen: Seen
) -> None:
    import asyncio

    ids = asyncio.run(_enqueue(database_url))

    single, several = seen.spans("send sums")
    assert [meta_of(conn, job_id)["traceparent"] for job_id in ids] == [
        traceparent(single),
        traceparent(several),
        traceparent(several),
    ]


def test_workflow_is_one_span_for_all_of_its_steps(conn: psycopg.Connection, seen: Seen) -> None:
    flow = Workflow("sums")
    first = flow.add(add_job, 1, 2)
    flow.add(add_job, first.result, 3)
    flow.add(add_job.options(after=[first]), 4, 5)
    handle = enqueue(conn, flow)

    span = seen.span("send sums")
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 3
    assert {meta_of(conn, job_id)["traceparent"] for job_id in handle.all_jobs()} == {traceparent(span)}


def test_enqueue_that_is_refused_ends_as_an_error(conn: psycopg.Connection, seen: Seen) -> None:
    with pytest.raises(EnqueueError):
        enqueue(conn, add_job, 1)  # type: ignore[call-overload]  # that is the point
    conn.execute("SET default_transaction_read_only = on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        enqueue(conn, add_job, 1, 2)

    refused, failed = seen.spans("send sums")
    for span, kind in ((refused, "pgjobs.core.errors.EnqueueError"), (failed, "psycopg.errors.ReadOnlySqlTransaction")):
        assert span.attributes is not None
        assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, kind)
        assert span.events[0].name == "exception"


def test_context_that_a_job_has_already_is_kept_and_linked(conn: psycopg.Connection, seen: Seen) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    handle = enqueue(conn, add_job.options(meta={"traceparent": given}), 1, 2)

    assert meta_of(conn, handle.id) == {"traceparent": given}
    (link,) = seen.span("send sums").links
    assert f"{link.context.trace_id:032x}" == given.split("-")[1]


@pytest.mark.parametrize("left", [0, 70, 90, 200])
def test_context_that_does_not_fit_into_the_metadata_is_left_out(
    conn: psycopg.Connection, seen: Seen, left: int
) -> None:
    meta = {"a": "x" * (MAX_META - left - meta_size({"a": ""}))}
    handle = enqueue(conn, add_job.options(meta=meta), 1, 2)

    assert set(meta_of(conn, handle.id)) == ({"a", "traceparent"} if left >= 90 else {"a"})


def test_metadata_of_other_hooks_is_kept(conn: psycopg.Connection, seen: Seen) -> None:
    on_enqueue(lambda new: {"tenant": "north"})
    handle = enqueue(conn, add, 1, 2)

    assert set(meta_of(conn, handle.id)) == {"tenant", "traceparent"}


def test_schedule_carries_no_context_of_what_declares_it(seen: Seen) -> None:
    with trace.get_tracer("test").start_as_current_span("deployment"):
        schedule("0 4 * * *", add_job, args=(1, 2), name="traced")
        (made,) = (made for made in schedules.declared_schedules() if made.name == "traced")
    schedules._declared.pop("traced")
    assert "traceparent" not in str(made)


def test_event_and_broadcast_have_spans_too(conn: psycopg.Connection, seen: Seen) -> None:
    event, sent = publish(conn, "order.placed", {"id": 42}), broadcast(conn, add, 1, 2)

    published, told = seen.span("publish order.placed"), seen.span("broadcast workers")
    for span, kind, message in ((published, SpanKind.CLIENT, event), (told, SpanKind.PRODUCER, sent.id)):
        assert span.attributes is not None
        assert (span.kind, span.attributes["messaging.message.id"]) == (kind, str(message))
        assert span.attributes["messaging.operation.type"] == "send"


def test_durations_and_counts_are_those_of_the_conventions(conn: psycopg.Connection, seen: Seen) -> None:
    enqueue(conn, add_job, 1, 2)
    with pytest.raises(EnqueueError):
        enqueue(conn, add_job, 1)  # type: ignore[call-overload]  # that is the point

    points, spans = seen.points(), seen.spans("send sums")
    assert set(points) == {"messaging.client.operation.duration", "messaging.client.sent.messages"}
    attributes = {**COMMON, "messaging.destination.name": "sums"}
    for point, span in zip(points["messaging.client.operation.duration"], spans, strict=True):
        assert span.end_time is not None
        assert span.start_time is not None
        assert point.sum == pytest.approx((span.end_time - span.start_time) / 1e9)
        assert list(point.explicit_bounds) == [
            *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
            *(1, 2.5, 5, 7.5, 10),
        ]
        assert {**attributes, **dict(point.attributes)} == dict(point.attributes)
    fine, refused = points["messaging.client.sent.messages"]
    assert "messaging.operation.type" not in fine.attributes
    assert refused.attributes["error.type"] == "pgjobs.core.errors.EnqueueError"
