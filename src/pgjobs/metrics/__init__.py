"""Metrics of an installation for Prometheus, in one's own program; `pgjobs metrics` serves the same.

    from prometheus_client import REGISTRY
    from pgjobs.metrics import Collector

    REGISTRY.register(Collector())

They are read from PostgreSQL at each scrape, so any number of programs may do it, and all say the same. It takes the
extra `pgjobs-runner[prometheus]`. docs/monitoring.md has all names.
"""

from __future__ import annotations

from pgjobs.metrics.asgi import asgi_app
from pgjobs.metrics.collector import Collector

__all__ = ["Collector", "asgi_app"]
