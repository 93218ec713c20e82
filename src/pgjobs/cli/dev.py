"""`pgjobs dev`: a whole development set-up in one command."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgjobs.cli.invocation import invocation
from pgjobs.cli.output import note, say
from pgjobs.core.config import settings
from pgjobs.core.errors import NotFoundError
from pgjobs.core.python_processes import python_command
from pgjobs.core.text import listed
from pgjobs.db.choose_database import EMBEDDED_DIRECTORY, database
from pgjobs.db.url import mask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

GRACE = 5.0  # seconds that running jobs may continue when the code has changed
TICK = 0.1  # seconds
RELOAD = "pip install 'pgjobs-runner[dev]'"


def dev(
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue", "-q", metavar="NAME:CONCURRENCY", help="As for `pgjobs work`. [default: *]", show_default=False
        ),
    ] = None,
    imports: Annotated[
        list[str] | None,
        typer.Option("--import", metavar="MODULE", help="As for `pgjobs work`; repeatable.", show_default=False),
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="How long running jobs may continue at a reload. [default: 5]"),
    ] = None,
    watch: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Watch this; repeatable. [default: .]")
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload/--no-reload", help="Start the worker anew when code changes.")
    ] = True,
) -> None:
    """Run all that development needs: a database, its tables, and a worker that reloads.

    The database is the configured one, or an embedded PostgreSQL in ./.pgjobs/ that runs as long as this command and
    gets its tables here. The worker serves all queues. Other options of `pgjobs work` are read from the environment
    and from pyproject.toml.
    """
    folders = watch or [Path()]
    for folder in folders:
        if not folder.exists():
            raise NotFoundError(f"there is no {folder} to watch.")
    options = [f"--grace={GRACE if grace is None else grace:g}"]
    options += [f"--queue={each}" for each in queue or ([] if _are_queues_set() else ["*"])]
    options += [f"--import={each}" for each in imports or ()]
    embedded = invocation.embedded or settings().database_url is None
    with database(embedded=embedded) as url:
        where = f"the embedded PostgreSQL in ./{EMBEDDED_DIRECTORY}/" if embedded else mask(url)
        note(f"pgjobs: the worker uses {where}. Ctrl-C ends it.")
        code = Development(url, options, _Changes(folders) if reload and _can_watch() else None).run()
    raise typer.Exit(code)


def _are_queues_set() -> bool:
    from pgjobs.cli.pyproject import defaults

    return bool(os.environ.get("PGJOBS_QUEUES")) or "queue" in defaults(Path.cwd())


def _can_watch() -> bool:
    if find_spec("watchfiles") is not None:
        return True
    note(f"pgjobs: changes of the code are not noticed: {RELOAD} brings what that takes.")
    return False


class _Changes:
    """Changed Python files below some folders, as another thread notices them."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self._changed: set[str] = set()
        self._stop = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch during the block."""
        thread = threading.Thread(target=self._watch, name="pgjobs-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(5)

    def take(self) -> list[str]:
        """Return the files that changed since the last call."""
        changed, self._changed = self._changed, set()
        return sorted(changed)

    def _watch(self) -> None:
        from watchfiles import PythonFilter, watch

        for changes in watch(*self._folders, watch_filter=PythonFilter(), stop_event=self._stop):
            self._changed = self._changed | {os.path.relpath(path) for _, path in changes}


class Development:
    """A worker (`pgjobs work`) that is started anew when code changes, until a signal comes."""

    def __init__(self, url: str, options: list[str], changes: _Changes | None) -> None:
        self._url = url
        self._options = options
        self._changes = changes
        self._signals = 0

    def run(self) -> int:
        """Run workers, and return the exit code."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            if self._changes is None:
                return self._run_one()
            with self._changes.watching():
                while not self._signals:
                    self._run_until_change(self._changes)
            return 0
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _run_one(self) -> int:
        worker = self._start()
        while worker.poll() is None and not self._signals:
            time.sleep(TICK)
        return self._end(worker)

    def _run_until_change(self, changes: _Changes) -> None:
        """Run one worker. If it ends by itself, as with an error of syntax, wait for the next change."""
        worker, told = self._start(), False
        while not self._signals:
            if changed := changes.take():
                say(f"Reloading: {listed(changed, 3)} changed.")
                break
            if worker.poll() is not None and not told:
                told = True
                note(
                    f"pgjobs: the worker has ended with exit code {worker.returncode}: it starts again after a change."
                )
            time.sleep(TICK)
        self._end(worker)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            python_command("pgjobs.cli.dev_worker", os.getpid(), *self._options),
            env={**os.environ, "PGJOBS_DATABASE_URL": self._url, "PGJOBS_SCHEMA": settings().schema},
            process_group=0,  # Ctrl-C on a terminal is for this process, which passes it on once
        )

    def _end(self, worker: subprocess.Popen[bytes]) -> int:
        """Drain the worker, and wait for it; a second signal is passed on, so that it stops at once."""
        seen = self._signals
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
        while worker.poll() is None:
            if self._signals > max(seen, 1):
                seen = self._signals
                worker.send_signal(signal.SIGTERM)
            time.sleep(TICK)
        return worker.returncode
