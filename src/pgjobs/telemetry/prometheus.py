"""Metrics in the formats of Prometheus, by prometheus-client: the extra `pgjobs-runner[prometheus]`.

Each scrape makes new objects from plain families; nothing is kept in the library, so there are no files of several
processes and no timers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from pgjobs.core.errors import ConfigurationError
from pgjobs.telemetry.metrics import Family, Metric

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as PrometheusMetric

INSTALL = "pip install 'pgjobs-runner[prometheus]'"


class FamilyCollector:
    """A collector for a registry of prometheus-client. `read` is called by each scrape; `metrics`: what it may give."""

    def __init__(self, read: Callable[[], Iterable[Family]], metrics: Mapping[str, Metric]) -> None:
        check_library()
        self._read = read
        self._metrics = metrics

    def describe(self) -> list[PrometheusMetric]:
        """Return the metrics without values, so that a registry sees names that are there already."""
        return [_shown(Family(name, metric)) for name, metric in self._metrics.items()]

    def collect(self) -> list[PrometheusMetric]:
        """Return all metrics with their values now."""
        return [_shown(family) for family in self._read()]


def check_library() -> None:
    """Make sure that prometheus-client is installed.

    Raises:
        ConfigurationError: it is not; the message says how to install it.

    """
    try:
        import prometheus_client  # noqa: F401 (only whether it is there)
    except ImportError:
        raise ConfigurationError(f"Metrics need prometheus-client, which is not installed: {INSTALL}.") from None


def exposition(collector: FamilyCollector, accept: str = "") -> tuple[str, bytes]:
    """Return a scrape of one collector: its content type, by what the client accepts, and the text."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry()
    registry.register(collector)
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


def _shown(family: Family) -> PrometheusMetric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    name, metric, values = family.name, family.metric, family.values
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
        for labels, (*counts, total) in family.histograms.items():
            bounds = [*map(str, metric.bounds), "+Inf"]
            histogram.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
        return histogram
    if metric.kind == "counter":
        counter = CounterMetricFamily(name, metric.help, labels=metric.labels)
        for labels, value in values.items():
            counter.add_metric(labels, value)
        return counter
    gauge = GaugeMetricFamily(name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        gauge.add_metric(labels, value)
    return gauge
