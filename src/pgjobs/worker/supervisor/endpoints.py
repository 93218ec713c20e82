"""Where a supervisor answers probes and Prometheus: one or two ports, in threads of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pgjobs.core.version import VERSION
from pgjobs.telemetry.http_server import Answer, HttpServer, Route
from pgjobs.telemetry.metrics import ABOUT, WORKERS, Family, about, filled
from pgjobs.worker.supervisor.health import Health, SupervisorState, live, ready

if TYPE_CHECKING:
    from pgjobs.worker.config import WorkerConfig
    from pgjobs.worker.supervisor.counts import SupervisorCounts


def endpoints(config: WorkerConfig, state: Callable[[], SupervisorState], counts: SupervisorCounts) -> list[HttpServer]:
    """Listen on the ports that were asked for. With the same port for both, one server has all paths.

    Raises:
        ConfigurationError: a port cannot be used, or prometheus-client is not installed.

    """
    by_port: dict[int, dict[str, Route]] = {}
    if config.health_port is not None:
        routes = {
            "/live": lambda accept: _probe(live(state()), accept),
            "/ready": lambda accept: _probe(ready(state()), accept),
        }
        by_port.setdefault(config.health_port, {}).update(routes)
    if config.metrics_port is not None:
        port = config.metrics_port
        if port == 0 and config.health_port == 0:
            port = -1  # two free ports
        by_port.setdefault(port, {})["/metrics"] = _metrics(state, counts)
    return [HttpServer(config.listen, max(port, 0), routes) for port, routes in by_port.items()]


def _metrics(state: Callable[[], SupervisorState], counts: SupervisorCounts) -> Route:
    from pgjobs.telemetry.prometheus import FamilyCollector, exposition

    def read() -> list[Family]:
        began = time.monotonic()
        found = counts.read()
        return [*about(VERSION, time.monotonic() - began, up=state().outage is None), *filled(found)]

    collector = FamilyCollector(read, {**ABOUT, **WORKERS})
    return lambda accept: Answer(200, *exposition(collector, accept))


def _probe(health: Health, accept: str) -> Answer:
    status = 200 if health.ok else 503
    if "text/plain" in accept or "text/html" in accept:
        return Answer(status, "text/plain; charset=utf-8", health.as_text().encode())
    return Answer(status, "application/json", json.dumps(health.as_json()).encode() + b"\n")
