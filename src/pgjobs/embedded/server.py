"""The user's side of an embedded server: ask for it, use it, let go."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pgjobs.core.errors import ConfigurationError
from pgjobs.embedded.binaries import find_binaries, is_complete
from pgjobs.embedded.directory import ServerDirectory
from pgjobs.embedded.locks import is_held, lock_file, try_lock, wait_for_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_PATIENCE = 120.0  # seconds for another process's start or stop, on the slowest machine
STOP_PATIENCE = 30.0  # seconds that the last one out waits for the server to stop
_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server. `started`: by this process, and not found running."""

    url: str
    directory: Path
    started: bool


@contextmanager
def embedded_server(directory: Path, *, binaries: Path | None = None, durable: bool = True) -> Iterator[EmbeddedServer]:
    """Use the server in the directory: the one that runs there, or a new one; the last one out stops it.

    `binaries`: a folder with `initdb` and `postgres` (default: `find_binaries()`). `durable=False` is for the servers
    of tests: fsync is off, and nothing survives a crash of the machine.

    Raises:
        ConfigurationError: there are no binaries, or it does not start; the message has the log's last useful line.

    """
    server_directory = ServerDirectory(directory)
    server_directory.prepare()
    try:
        with lock_file(server_directory.users_lock) as users_lock:
            yield _enter(server_directory, users_lock, binaries, durable=durable)
    finally:
        _wait_if_last(server_directory)


def delete_server(directory: Path) -> None:
    """Remove a server that nobody uses, with its data, wherever that lies."""
    ServerDirectory(directory).delete()


def _enter(
    server_directory: ServerDirectory, users_lock: int, binaries: Path | None, *, durable: bool
) -> EmbeddedServer:
    with lock_file(server_directory.start_lock) as start_lock:
        if not wait_for_lock(start_lock, exclusive=True, seconds=LOCK_PATIENCE):
            raise ConfigurationError(f"Another process has been starting {server_directory.directory} for too long.")
        # A keeper that is stopping holds users.lock until it is done.
        if not wait_for_lock(users_lock, exclusive=False, seconds=LOCK_PATIENCE):
            raise ConfigurationError(f"The server in {server_directory.directory} has been stopping for too long.")
        started = not _is_running(server_directory)
        if started:
            _start(server_directory, binaries or find_binaries(), durable=durable)
        return EmbeddedServer(server_directory.url.read_text(), server_directory.directory, started)


def _is_running(server_directory: ServerDirectory) -> bool:
    """Say whether a keeper has the server ready, waiting for one that is about to."""
    deadline = time.monotonic() + LOCK_PATIENCE
    while is_held(server_directory.keeper_lock):
        if server_directory.status() == "ready" and server_directory.answers():
            return True
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"The server in {server_directory.directory} has not become ready: see {server_directory.log}."
            )
        time.sleep(_PAUSE)
    return False


def _start(server_directory: ServerDirectory, binaries: Path, *, durable: bool) -> None:
    if not is_complete(binaries):
        raise ConfigurationError(f"{binaries} has no initdb and postgres in it.")
    root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as answers:
        try:
            # It splits itself in two at once, so this waits for next to nothing.
            subprocess.run(
                [
                    *(sys.executable, "-P", "-m", "pgjobs.embedded.daemon"),
                    *(str(server_directory.directory), str(binaries.absolute())),
                    *("durable" if durable else "fast", str(write_end)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                pass_fds=(write_end,),
                start_new_session=True,
                check=False,
            )
        finally:
            os.close(write_end)
        answer = answers.readline().decode().strip()
    if answer != "ready":
        raise ConfigurationError(
            answer.removeprefix("error: ") or f"The keeper of the server died: see {server_directory.log}."
        )


def _wait_if_last(server_directory: ServerDirectory) -> None:
    """Wait until the server has stopped, unless others use it."""
    deadline = time.monotonic() + STOP_PATIENCE
    try:
        while is_held(server_directory.keeper_lock) and time.monotonic() < deadline:
            with lock_file(server_directory.users_lock) as users_lock:
                # Not exclusively, but shared: somebody else uses it. Neither: the keeper is stopping it.
                if not try_lock(users_lock, exclusive=True) and try_lock(users_lock, exclusive=False):
                    return
            time.sleep(_PAUSE)
    except FileNotFoundError:
        return  # the folder has been removed meanwhile
