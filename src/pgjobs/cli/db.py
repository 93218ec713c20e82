"""`pgjobs db start|stop|url|psql`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from pgjobs.cli.commands import command_group
from pgjobs.cli.output import note, say
from pgjobs.core.errors import NotFoundError
from pgjobs.db.choose_database import EMBEDDED_DIRECTORY, embedded_directory
from pgjobs.db.migrations import upgrade_if_needed
from pgjobs.embedded import embedded_server, find_binaries, running_server, stop_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgjobs.embedded import EmbeddedServer

app = command_group()

SERVER = f"The embedded PostgreSQL in ./{EMBEDDED_DIRECTORY}/"


@app.command()
def start() -> None:
    """Start an embedded PostgreSQL, and keep it running.

    It also creates or upgrades the tables. Commands in this folder use it when no database is configured.
    """
    with embedded_server(embedded_directory(), keep=True) as server:
        upgrade_if_needed(server.url)
    say(f"{SERVER} {'is running' if server.started else 'was running already'}: `pgjobs db stop` stops it.")


@app.command()
def stop() -> None:
    """Stop the embedded PostgreSQL. Its data stays."""
    with running_server(embedded_directory()) as server:
        was_running = server is not None
    stopped = stop_server(
        embedded_directory()
    )  # also where none runs: one that was killed has left its wish to be kept
    if not was_running:
        note(f"pgjobs: no embedded PostgreSQL runs in ./{EMBEDDED_DIRECTORY}/: there is nothing to stop.")
    elif stopped:
        say(f"{SERVER} is stopped.")
    else:
        note(f"pgjobs: {SERVER} is used by other processes: it stops with the last of them.")


@app.command()
def url() -> None:
    """Print the URL, with its password."""
    with _running() as server:
        say(server.url)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ARGUMENT", help="Arguments of psql.", show_default=False)
    ] = None,
) -> None:
    """Open psql on the embedded PostgreSQL, or run it with arguments, such as -c 'SELECT 1'."""
    with _running() as server:
        # In the environment, since other users can read the arguments of a process.
        parts = urlsplit(server.url)
        environment = {
            "PGHOST": parts.hostname or "",
            "PGPORT": str(parts.port),
            "PGUSER": parts.username or "",
            "PGPASSWORD": parts.password or "",
            "PGDATABASE": parts.path.lstrip("/"),
        }
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for psql
        try:
            done = subprocess.run([_find_psql(), *(arguments or ())], env={**os.environ, **environment}, check=False)
        finally:
            signal.signal(signal.SIGINT, before)
    raise typer.Exit(done.returncode)


@contextmanager
def _running() -> Iterator[EmbeddedServer]:
    with running_server(embedded_directory()) as server:
        if server is None:
            raise NotFoundError(f"no embedded PostgreSQL runs in ./{EMBEDDED_DIRECTORY}/: `pgjobs db start` starts it.")
        yield server


def _find_psql() -> str:
    """Find psql beside the server's programs, or on PATH."""
    beside = find_binaries() / "psql"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("psql")
    if found is None:
        raise NotFoundError("psql is not installed: `pgjobs db url` prints the URL for another client.")
    return found
