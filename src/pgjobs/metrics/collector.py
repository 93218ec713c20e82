"""The collector of an installation's metrics, for a registry of prometheus-client."""

from __future__ import annotations

from pgjobs.core.config import settings
from pgjobs.db.choose_database import no_database
from pgjobs.db.url import libpq_url
from pgjobs.metrics.installation import InstallationReader
from pgjobs.telemetry.metrics import ABOUT, INSTALLATION
from pgjobs.telemetry.prometheus import FamilyCollector

TIME_LIMIT = 5.0  # seconds; Prometheus waits ten for a scrape, if it is not told otherwise


class Collector(FamilyCollector):
    """Reads the metrics of an installation at each scrape, on a connection of its own.

    For `registry.register`. `database_url`: default is the configured one. `time_limit`: seconds that PostgreSQL has
    for a scrape. Where it cannot be reached, or takes longer, `pgjobs_up` is 0, and what could not be read is left out:
    a scrape raises nothing.

    Raises:
        ConfigurationError: prometheus-client is not installed.

    """

    def __init__(self, database_url: str | None = None, *, time_limit: float = TIME_LIMIT) -> None:
        self.reader = InstallationReader(lambda: _url(database_url), time_limit)
        super().__init__(self.reader, {**ABOUT, **INSTALLATION})


def _url(given: str | None) -> str:
    url = given or settings().database_url
    if not url:
        raise no_database("give Collector(database_url=…)")
    return libpq_url(url)
