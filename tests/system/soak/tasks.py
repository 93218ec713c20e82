"""What the soak's load has beside the jobs of tests.system.chaos."""

from __future__ import annotations

from pgjobs import job
from tests.system.chaos.tasks import written_down


@job
def probe() -> None:
    """Write when it began: that is the pick-up latency."""
    with written_down():
        pass


@job(queue="pings")
def ping(number: float) -> None:
    """Run in a queue that keeps nothing of what went well."""
    with written_down():
        pass
