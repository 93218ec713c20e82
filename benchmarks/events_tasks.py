"""What benchmarks/events.py enqueues beside events."""

from __future__ import annotations

from pgjobs import job


@job(payload="json")
def handle(event: dict[str, object]) -> None: ...
