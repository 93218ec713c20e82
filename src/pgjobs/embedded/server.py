"""The user's side of an embedded server: start it or join it, and leave it."""

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
from pgjobs.core.python_processes import check_interpreter
from pgjobs.embedded.binaries import find_binaries, is_complete
from pgjobs.embedded.directory import ServerDirectory
from pgjobs.embedded.locks import is_held, lock_file, try_lock, wait_for_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_PATIENCE = 120.0  # seconds for another process's start or stop, on the slowest machine
STOP_PATIENCE = 30.0  # seconds that the last user waits for the server to stop
_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server. `started`: by this process; it was not running before."""

    url: str
    directory: Path
    started: bool


@contextmanager
def embedded_server(
    directory: Path, *, binaries: Path | None = None, durable: bool = True, keep: bool = False
) -> Iterator[EmbeddedServer]:
    """Use the server in the directory. It is started if it does not run, and stops with its last user.

    `binaries`: a folder with `initdb` and `postgres` (default: `find_binaries()`). `durable=False`: without fsync, for
    tests; data does not survive a crash of the machine. `keep`: the server runs until `stop_server`.

    Raises:
        ConfigurationError: there are no binaries, or the server does not start; the message has the log's last useful
            line.

    """
    server_directory = ServerDirectory(directory)
    server_directory.prepare()

    def start() -> None:
        server_directory.keep.unlink(missing_ok=True)  # left by a daemon that was killed
        _start(server_directory, binaries or find_binaries(), durable=durable)

    try:
        with lock_file(server_directory.users_lock) as users_lock:
            with _only_one(server_directory, users_lock):
                started = not _is_running(server_directory)
                if started:
                    start()
                if keep:
                    server_directory.keep.touch(mode=0o600)
                server = EmbeddedServer(server_directory.url.read_text(), server_directory.directory, started)
            yield server
    finally:
        _wait_if_last(server_directory)


@contextmanager
def running_server(directory: Path) -> Iterator[EmbeddedServer | None]:
    """Use the server in the directory if it runs; else the block gets None.

    Raises:
        ConfigurationError: the server has been starting or stopping for too long, or the directory is another user's.

    """
    server_directory = ServerDirectory(directory)
    server_directory.refuse_if_foreign()
    if not server_directory.daemon_lock.exists():
        yield None
        return
    try:
        with lock_file(server_directory.users_lock) as users_lock:
            with _only_one(server_directory, users_lock):
                server = None
                if _is_running(server_directory):
                    server = EmbeddedServer(server_directory.url.read_text(), server_directory.directory, started=False)
            yield server
    finally:
        _wait_if_last(server_directory)


def stop_server(directory: Path) -> bool:
    """Stop a server that was started with `keep`, and wait for that.

    Return False if other processes still use the server. It then stops with the last of them.

    Raises:
        ConfigurationError: the directory is another user's.

    """
    server_directory = ServerDirectory(directory)
    server_directory.refuse_if_foreign()
    if not server_directory.daemon_lock.exists():
        return True
    server_directory.keep.unlink(missing_ok=True)
    _wait_if_last(server_directory)
    return not is_held(server_directory.daemon_lock)


def delete_server(directory: Path) -> None:
    """Remove an unused server with its data, wherever that is."""
    ServerDirectory(directory).delete()


@contextmanager
def _only_one(server_directory: ServerDirectory, users_lock: int) -> Iterator[None]:
    """Take users.lock, and for the length of the block start.lock: no other process starts the server meanwhile."""
    with lock_file(server_directory.start_lock) as start_lock:
        if not wait_for_lock(start_lock, exclusive=True, seconds=LOCK_PATIENCE):
            raise ConfigurationError(f"Another process has been starting {server_directory.directory} for too long.")
        # A daemon that is stopping holds users.lock until it is done.
        if not wait_for_lock(users_lock, exclusive=False, seconds=LOCK_PATIENCE):
            raise ConfigurationError(f"The server in {server_directory.directory} has been stopping for too long.")
        yield


def _is_running(server_directory: ServerDirectory) -> bool:
    """Return True if a daemon has the server ready. Wait for a daemon that is starting it."""
    deadline = time.monotonic() + LOCK_PATIENCE
    while is_held(server_directory.daemon_lock):
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
    check_interpreter()
    root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as answers:
        try:
            # The daemon forks at once, so this returns at once.
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
            answer.removeprefix("error: ") or f"The daemon of the server has died: see {server_directory.log}."
        )


def _wait_if_last(server_directory: ServerDirectory) -> None:
    """Wait until the server has stopped, unless it is kept or other processes use it."""
    deadline = time.monotonic() + STOP_PATIENCE
    try:
        while not server_directory.keep.exists() and is_held(server_directory.daemon_lock):
            if time.monotonic() > deadline:
                return
            with lock_file(server_directory.users_lock) as users_lock:
                # Shared, but not exclusively: another process uses it. Neither: the daemon is stopping it.
                if not try_lock(users_lock, exclusive=True) and try_lock(users_lock, exclusive=False):
                    return
            time.sleep(_PAUSE)
    except FileNotFoundError:
        return  # the folder was removed
