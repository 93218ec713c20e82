"""The daemon: the parent of an embedded server, which stops it when it is no longer used.

`python -m pgjobs.embedded.daemon DIRECTORY BINARIES durable|fast READY_FD`; started by `embedded_server`, in a
session of its own, so that Ctrl-C in a terminal does not reach it. It writes one line to READY_FD: `ready`, or
`error: ` and the reason.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from pgjobs.core.errors import PgjobsError
from pgjobs.embedded.cluster import Cluster
from pgjobs.embedded.directory import ServerDirectory
from pgjobs.embedded.locks import open_private, try_lock, wait_for_lock
from pgjobs.embedded.processes import adopt_orphans

TICK = 0.1  # seconds between two checks of users.lock
MAX_RESTARTS = 5  # within RESTART_SPAN seconds
RESTART_SPAN = 60.0
_LOG_EVERY = 600  # ticks


def main(arguments: list[str]) -> int:
    """Start a server, and stop it when it is no longer used."""
    directory, binaries, mode, ready_fd = arguments
    report = int(ready_fd)
    os.set_inheritable(report, False)
    if os.fork():  # the user process has no child to wait for
        return 0
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Blocked, and taken by sigtimedwait: nothing interrupts a start or a stop half way.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    server_directory = ServerDirectory(Path(directory))
    # In this order: the kernel then releases daemon.lock before users.lock, and a process that gets users.lock sees
    # that there is no daemon.
    daemon_lock = open_private(server_directory.daemon_lock)
    users_lock = open_private(server_directory.users_lock)
    if not wait_for_lock(daemon_lock, exclusive=True, seconds=5.0):
        _report(report, "error: another daemon is running.")
        return 1
    os.chdir("/")
    adopt_orphans()
    cluster: Cluster | None = None
    try:
        cluster = Cluster(server_directory, Path(binaries), durable=mode == "durable")
        cluster.start()
        _report(report, "ready")
        return _watch(cluster, server_directory, users_lock)
    except (PgjobsError, OSError) as error:
        _report(report, f"error: {error}")
        return 1
    finally:
        if cluster is not None:
            cluster.stop()
        os.close(daemon_lock)
        os.close(users_lock)


def _watch(cluster: Cluster, server_directory: ServerDirectory, users_lock: int) -> int:
    """Wait until the server is no longer used, or for SIGTERM. A server that dies is started again."""
    restarts: list[float] = []
    ticks = 0
    while server_directory.keep.exists() or not try_lock(users_lock, exclusive=True):
        received = _wait(TICK)
        if received == signal.SIGTERM:
            return 0
        if cluster.process is None or cluster.process.poll() is not None:
            now = time.monotonic()
            restarts = [at for at in restarts if now - at < RESTART_SPAN] + [now]
            if len(restarts) > MAX_RESTARTS:
                return 1
            cluster.start()
        ticks += 1
        if ticks % _LOG_EVERY == 0:
            cluster.trim_log()
    return 0


def _wait(seconds: float) -> int | None:
    if sys.platform == "darwin":  # macOS has no sigtimedwait
        time.sleep(seconds)
        return signal.SIGTERM if signal.SIGTERM in signal.sigpending() else None
    received = signal.sigtimedwait({signal.SIGTERM, signal.SIGCHLD}, seconds)
    return received.si_signo if received else None


def _report(report: int, line: str) -> None:
    """Write a line to the process that started this one, if it still runs."""
    try:
        os.write(report, line.encode() + b"\n")
        os.close(report)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
