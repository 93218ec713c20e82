"""An SDK that sends spans and metrics by OTLP, as a worker's module of hooks sets it up; and jobs to trace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from pgjobs import Batch, current_job, job, pipeline


def set_up() -> None:
    """Send what is traced to OTEL_EXPORTER_OTLP_ENDPOINT."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))


log = logging.getLogger("shop")


@job(queue="thread")
def in_thread() -> None:
    with trace.get_tracer("shop").start_as_current_span("own"):
        log.info("here")


@job(queue="loop")
async def on_loop() -> None:
    await asyncio.sleep(0)
    in_thread.function()


@job(queue="child", executor="process")
def in_child() -> None:
    in_thread.function()


@job(queue="failing", max_attempts=2, backoff=0)
def failing() -> None:
    raise ValueError("closed")


@job(queue="batch", batch=Batch(10, wait=0.1))
def in_batch(items: list[int]) -> None: ...


@job(queue="step")
def growing() -> None:
    current_job().workflow.add(in_step)


@job(queue="grown")
def in_step() -> None: ...


@job(queue="first")
def split(text: str) -> Iterator[str]:
    yield from text


@job(queue="second")
def store(letter: str) -> None: ...


letters = pipeline("letters", split >> store)


def reload() -> None: ...
