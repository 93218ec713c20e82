"""A real worker sends its spans and metrics by OTLP, from threads, the loop and child processes."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from pgjobs import Workflow, broadcast, enqueue
from tests.support import tasks_otel as tasks
from tests.support.worker import states, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.tracing.conftest import Seen

pytestmark = pytest.mark.in_turns(3)
ROLES = ("thread", "loop", "child", "failing", "batch", "step", "grown", "first", "second")


class Received(NamedTuple):
    """What a collector has been sent."""

    url: str
    spans: list[Span]
    metrics: set[str]

    def named(self, name: str) -> list[Span]:
        """Return the spans of this name."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Received]:
    """Receive OTLP over HTTP on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        received.spans.extend(scope.spans)
            elif self.path == "/v1/metrics":
                for data in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for of_scope in data.scope_metrics:
                        received.metrics.update(metric.name for metric in of_scope.metrics)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Received(f"http://127.0.0.1:{server.server_port}", [], set())
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_worker_sends_linked_spans_of_all_that_it_runs(database_url: str, conn: psycopg.Connection, seen: Seen) -> None:
    for each in (tasks.in_thread, tasks.on_loop, tasks.in_child, tasks.failing):
        enqueue(conn, each)
    for n in range(3):
        enqueue(conn, tasks.in_batch, n)
    flow = Workflow("growing")
    flow.add(tasks.growing)
    workflow = enqueue(conn, flow)
    enqueue(conn, tasks.letters, "ab")
    broadcast(conn, tasks.reload)

    hooks = ("--hooks", "tests.support.tasks_otel_set_up", "--hooks", "pgjobs.otel")
    queues = [argument for queue in ROLES for argument in ("-q", f"{queue}:2")]
    with collector() as received:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        options = ("--drain", *hooks, "--import", "tests.support.tasks_otel", *queues)
        with work(database_url, *options, ready=False, env=environment) as running:
            assert running.wait(90) == 0, running.output
            output, lines = running.output, running.lines()

    assert states(conn) == {"completed": 11, "failed": 1}, output
    processed = Counter(span.name for span in received.spans if span.kind == Span.SPAN_KIND_CONSUMER)
    assert processed == {
        **{f"process {queue}": 1 for queue in ROLES},
        "process failing": 2,
        "process second": 2,
        "process workers": 1,
    }, output
    sent = {span.name: span for span in seen.spans()}
    for queue in ("thread", "loop", "child", "failing", "step", "first"):
        for span in received.named(f"process {queue}"):
            context = sent[f"send {queue}"].get_span_context()
            assert context is not None
            (link,) = span.links
            assert link.span_id == context.span_id.to_bytes(8), queue
            assert span.trace_id != link.trace_id
    (told,) = received.named("process workers")
    context = sent["broadcast workers"].get_span_context()
    assert context is not None
    assert [link.span_id for link in told.links] == [context.span_id.to_bytes(8)]
    (batch,) = received.named("process batch")
    assert len(batch.links) == 3
    for before, after in (("step", "grown"), ("first", "second")):
        (leading,) = received.named(f"process {before}")
        for span in received.named(f"process {after}"):
            assert [link.span_id for link in span.links] == [leading.span_id]
    (step,) = received.named("process step")
    attributes = {each.key: each.value.string_value for each in step.attributes}
    assert attributes["messaging.message.conversation_id"] == str(workflow.id)
    own = {span.parent_span_id for span in received.named("own")}
    assert own == {received.named(f"process {queue}")[0].span_id for queue in ("thread", "loop", "child")}
    assert received.metrics == {"messaging.process.duration", "messaging.client.consumed.messages"}

    said = {line["trace_id"] for line in lines if line.get("logger") == "shop"}
    assert said == {received.named(f"process {queue}")[0].trace_id.hex() for queue in ("thread", "loop", "child")}
    failures = [line["trace_id"] for line in lines if line.get("logger") == "pgjobs.job"]
    assert failures == [span.trace_id.hex() for span in received.named("process failing")]
