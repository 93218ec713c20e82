"""`pgjobs top`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from pgjobs.cli.invocation import invocation
from pgjobs.cli.output import print_json
from pgjobs.cli.params import Json
from pgjobs.core.errors import ConfigurationError
from pgjobs.db.choose_database import database


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one snapshot, and exit.")] = False,
    filter: Annotated[
        str, typer.Option(metavar="TEXT", help="Only what has this text in its queue, call or error.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show queues, workers, what runs and dead letters, live in this terminal.

    Keys pause and resume queues, cancel and retry jobs, and explain them; each asks before. --once needs no extra
    package; --json does the same, as JSON.
    """
    from pgjobs.cli.top.feed import Feed, UnreadableError  # imported lazily: help needs none of this

    if once or as_json:
        from pgjobs.cli.top.plain import print_snapshot

        with database(embedded=invocation.embedded) as url:
            feed = Feed(url)
            try:
                snapshot = feed.read(filter)
            except UnreadableError as error:
                raise ConfigurationError(str(error)) from error
            finally:
                feed.close()
        if as_json:
            print_json(asdict(snapshot))
        else:
            print_snapshot(snapshot)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigurationError("`pgjobs top` needs a terminal: use --once in scripts.")
    try:
        from pgjobs.cli.top.app import TopApp
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"`pgjobs top` needs {error.name}: pip install 'pgjobs-runner[top]', or use --once."
        ) from error
    with database(embedded=invocation.embedded) as url:
        feed = Feed(url)
        feed.check()
        app = TopApp(feed, filter)
        app.run()
        if app.broken is not None:
            raise app.broken
