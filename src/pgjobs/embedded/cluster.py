"""PostgreSQL itself: make a data directory, start the server on it, stop it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pgjobs.core.errors import ConfigurationError
from pgjobs.embedded.account import choose_account
from pgjobs.embedded.binaries import major_version, reachable_binaries
from pgjobs.embedded.locks import lock_file, open_private, wait_for_lock
from pgjobs.embedded.processes import clean_environment, dying_with_daemon, end_orphans, free_port, is_free, send_signal

if TYPE_CHECKING:
    from pgjobs.embedded.directory import ServerDirectory

USER = "postgres"
START_LIMIT = 60.0  # seconds; recovery after a crash may take a while
STOP_LIMIT = 20.0  # seconds for an orderly shutdown, before it is a hard one
LEFTOVER_LIMIT = 30.0  # seconds for the processes of a killed server to exit; some need ten
LOG_LIMIT = 4 * 1024 * 1024  # bytes; the log before that is kept as server.log.1
_ADDRESS_TAKEN = "could not create any TCP/IP sockets"
_SHARED_MEMORY_TAKEN = "pre-existing shared memory block"


class Cluster:
    """A data directory and its server, for the daemon."""

    def __init__(self, server_directory: ServerDirectory, binaries: Path, *, durable: bool) -> None:
        self._files = server_directory
        self._durable = durable
        self._version = major_version(binaries)
        self._account = choose_account(
            *([server_directory.data] if server_directory.data.exists() else []), server_directory.directory
        )
        self._binaries = reachable_binaries(binaries, self._account)
        self.url = ""
        self.process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        """Start the server, and set `url` when it is ready. The data directory is made if it does not exist.

        Raises:
            ConfigurationError: the server does not start; the message has the log's last useful line.

        """
        self.trim_log()
        end_orphans()
        with lock_file(self._files.server_lock) as lock:
            self._wait_for_leftovers(lock)
            if not (self._files.data / "PG_VERSION").exists():
                self._make_data()
            self._check_data()
            deadline = time.monotonic() + START_LIMIT
            port = self._last_port()
            while True:
                offset = self._files.log.stat().st_size if self._files.log.exists() else 0
                port = port if port and is_free(port) else free_port()
                if self._try_start(port, lock, deadline):
                    break
                said = self._files.log.read_bytes()[offset:].decode(errors="replace")
                if time.monotonic() > deadline or not (_ADDRESS_TAKEN in said or _SHARED_MEMORY_TAKEN in said):
                    raise ConfigurationError(f"The embedded PostgreSQL does not start: {useful_line(said)}")
                port = None if _ADDRESS_TAKEN in said else port
                time.sleep(0.1)
        self.url = f"postgresql://{USER}:{self._files.password.read_text()}@127.0.0.1:{port}/postgres"
        self._files.write_secret(self._files.url, self.url)

    def stop(self) -> None:
        """Stop the server, by stronger signals if it does not exit in time."""
        if self.process is None:
            return
        for number, seconds in ((signal.SIGINT, STOP_LIMIT), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            self.process.send_signal(number)
            try:
                self.process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process = None
        end_orphans()
        if self._files.url.exists() and self._files.url.read_text() == self.url:
            self._files.url.unlink()

    def trim_log(self) -> None:
        """Move a log that has grown too large to server.log.1."""
        log = self._files.log
        try:
            if log.stat().st_size > LOG_LIMIT:
                shutil.copyfile(log, log.with_name("server.log.1"))
                os.truncate(log, 0)  # the server appends, so it continues at the new end
        except OSError:
            return  # a full disk or a removed folder must not stop the server

    def _wait_for_leftovers(self, lock: int) -> None:
        """Wait until no process of an earlier server has the data directory open, and remove its postmaster.pid."""
        if not wait_for_lock(lock, exclusive=True, seconds=1.0):
            # Without PR_SET_PDEATHSIG a server outlives its daemon. It holds the lock, so this is its process id.
            pid = self._files.server_pid()
            if pid:
                send_signal(pid, signal.SIGQUIT)
            if not wait_for_lock(lock, exclusive=True, seconds=LEFTOVER_LIMIT):
                raise ConfigurationError(
                    f"Processes of an earlier server still use {self._files.data} (server process: {pid}): end them."
                )
        # No process of ours is left. A process that has this id now is unrelated, unless a server was started on this
        # folder by hand; postgres would refuse to start because of either.
        pid = self._files.server_pid()
        if pid and self._is_server_by_hand(pid):
            raise ConfigurationError(f"Another PostgreSQL (process {pid}) runs on {self._files.data}: stop it first.")
        if pid and sys.platform == "linux":
            (self._files.data / "postmaster.pid").unlink(missing_ok=True)

    def _is_server_by_hand(self, pid: int) -> bool:
        process = Path("/proc", str(pid))
        try:
            if (process / "comm").read_text().strip() not in ("postgres", "postmaster"):
                return False
            if os.fsencode(self._files.data.resolve()) in (process / "cmdline").read_bytes():
                return True
            return (process / "cwd").resolve(strict=True) == self._files.data.resolve()
        except OSError:
            return False

    def _make_data(self) -> None:
        parent = self._files.choose_data_parent(self._account)
        password = secrets.token_urlsafe(24)
        self._files.write_secret(self._files.password, password)
        for left in parent.glob("data.new-*"):  # left by an interrupted initdb
            shutil.rmtree(left, ignore_errors=True)
        draft = parent / f"data.new-{secrets.token_hex(4)}"
        draft.mkdir(mode=0o700)
        secret = parent / f"{draft.name}.password"
        try:
            self._files.write_secret(secret, password)
            for path in (draft, secret):
                self._account.own(path)
            self._run_initdb(draft, secret)
            if self._files.data.is_symlink():
                self._files.data.unlink()
            draft.rename(parent / "data")
            if parent != self._files.directory:
                self._files.data.symlink_to(parent / "data")
        finally:
            secret.unlink(missing_ok=True)
            shutil.rmtree(draft, ignore_errors=True)

    def _run_initdb(self, data: Path, secret: Path) -> None:
        command = [
            str(self._binaries / "initdb"),
            f"--pgdata={data}",
            f"--username={USER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ]
        if not self._durable:
            command.append("--no-sync")
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
            cwd="/",
            preexec_fn=dying_with_daemon(signal.SIGKILL),  # safe: the daemon has one thread
            check=False,
            **self._account.popen_options(),
        )
        if done.returncode:
            said = done.stdout.decode(errors="replace")
            raise ConfigurationError(f"No data directory could be made in {data.parent}: {useful_line(said)}")

    def _check_data(self) -> None:
        found = (self._files.data / "PG_VERSION").read_text().strip()
        if found != str(self._version):
            raise ConfigurationError(
                f"{self._files.data} was made by PostgreSQL {found}, but PostgreSQL {self._version} is installed here: "
                f"install {found}, or remove {self._files.directory} and everything in it."
            )
        if not self._files.password.exists():
            raise ConfigurationError(
                f"{self._files.password} is missing, so no one can log in to the server: remove "
                f"{self._files.directory} and everything in it."
            )

    def _last_port(self) -> int | None:
        try:
            return urlsplit(self.url or self._files.url.read_text()).port
        except (OSError, ValueError):
            return None

    def _try_start(self, port: int, lock: int, deadline: float) -> bool:
        """Start the server on the port, and wait until it is ready or gone."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "logging_collector": "off",
            "log_destination": "stderr",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        command = [str(self._binaries / "postgres"), "-D", str(self._files.data.resolve())]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = open_private(self._files.log, os.O_APPEND)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
                cwd="/",
                pass_fds=(lock,),  # held by the server and all its children, until the last of them is gone
                preexec_fn=dying_with_daemon(signal.SIGQUIT),  # safe: the daemon has one thread
                **self._account.popen_options(),
            )
        finally:
            os.close(log)
        while process.poll() is None:
            if self._files.server_pid() == process.pid and self._files.status() == "ready":
                self.process = process
                return True
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                return False
            time.sleep(0.005)
        return False


def useful_line(log: str) -> str:
    """Return the line of a server's log that says why it did not start."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for mark in ("FATAL:", "PANIC:", "error:", "ERROR:"):
        for line in reversed(lines):
            if mark in line:
                return line[line.index(mark) + len(mark) :].strip()
    return lines[-1] if lines else "the log gives no reason."
