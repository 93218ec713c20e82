"""`pgjobs metrics`."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from pgjobs.cli.invocation import invocation
from pgjobs.cli.output import note
from pgjobs.db.choose_database import database
from pgjobs.metrics.collector import TIME_LIMIT, Collector
from pgjobs.telemetry.http_server import ALL_ADDRESSES, Answer, HttpServer
from pgjobs.telemetry.prometheus import exposition

DEFAULT_PORT = 9187
log = logging.getLogger("pgjobs.metrics")


def metrics(
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port to listen on.")] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = ALL_ADDRESSES,
    time_limit: Annotated[
        float, typer.Option(min=0.1, max=600, metavar="SECONDS", help="What PostgreSQL has for a scrape.")
    ] = TIME_LIMIT,
    once: Annotated[bool, typer.Option("--once", help="Print the metrics, and exit.")] = False,
) -> None:
    """Serve the metrics of the installation to Prometheus.

    They are read at each scrape. Any number of these may run: all say the same.
    """
    from pgjobs.telemetry.logs import configure_logging

    with database(embedded=invocation.embedded) as url:
        collector = Collector(url, time_limit=time_limit)
        if once:
            text = exposition(collector)[1].decode()
            typer.echo(text, nl=False)
            if collector.reader.error:
                note(f"pgjobs: not all could be read: {collector.reader.error}.")
                raise typer.Exit(1)
            return
        configure_logging("info", "auto")
        server = HttpServer(host, port, {"/metrics": lambda accept: _answer(collector, accept)})
        note(f"Metrics are at http://{host}:{server.port}/metrics; Ctrl-C ends this.")
        server.serve()


def _answer(collector: Collector, accept: str) -> Answer:
    content_type, body = exposition(collector, accept)
    if collector.reader.error:
        log.warning("the scrape is not whole: %s", collector.reader.error)
    return Answer(200, content_type, body)
