"""An SDK that keeps spans and metrics in memory. A process has one for good, so all tests here share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pgjobs.hooks.kinds import ALL
from pgjobs.jobs.tracing import installed
from pgjobs.tracing.install import install
from pgjobs.tracing.options import options
from pgjobs.tracing.processing import failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan


class Seen(NamedTuple):
    """What was traced."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """Return the spans that have ended, in that order."""
        return [span for span in self.exporter.get_finished_spans() if name in (None, span.name)]

    def span(self, name: str) -> ReadableSpan:
        """Return the only span of this name."""
        (found,) = self.spans(name)
        return found

    def points(self) -> dict[str, list[Any]]:
        """Return the points of each metric since the last time."""
        data = self.reader.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found.setdefault(metric.name, []).extend(metric.data.data_points)
        return found


@pytest.fixture(scope="session")
def sdk() -> Seen:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    delta = AggregationTemporality.DELTA
    reader = InMemoryMetricReader(preferred_temporality={Counter: delta, Histogram: delta})
    metrics.set_meter_provider(MeterProvider([reader]))
    return Seen(exporter, reader)


@pytest.fixture
def seen(sdk: Seen) -> Iterator[Seen]:
    """Traces that are switched on for a test."""
    install()
    sdk.exporter.clear()
    sdk.points()
    yield sdk
    for registry in ALL:
        registry.clear()
    installed.tracing, options.parent = None, False
    failed.clear()
