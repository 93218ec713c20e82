"""PostgreSQL servers for chaos: stopped, killed, filled up, copied and promoted at will."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from pgjobs.db import migrations as migrate
from pgjobs.embedded.account import Account, choose_account
from pgjobs.embedded.binaries import reachable_binaries
from pgjobs.embedded.processes import free_port
from tests.support.processes import children, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# fsync is off: no scenario takes the power away, and all that was written survives the death of a process.
CONFIG = """
fsync = off
shared_buffers = 64MB
max_connections = 120
max_wal_size = 512MB
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
log_min_messages = warning
max_prepared_transactions = 4
"""
DATABASE = "chaos"
STOPS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Cluster:
    """A data directory and the server on it. `url` leads to its database."""

    def __init__(self, binaries: Path, data: Path, account: Account) -> None:
        self.binaries = binaries
        self.data = data
        self.account = account
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.env: dict[str, str] = {}  # of the server, beside this process's

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{DATABASE}"

    def run(self, program: str, *arguments: object, env: dict[str, str] | None = None) -> None:
        """Run one of PostgreSQL's programs, as the server's user."""
        done = subprocess.run(
            [str(self.binaries / program), *map(str, arguments)],
            check=False,
            capture_output=True,
            cwd=self.data.parent,
            env={**os.environ, **(env or {})},
            **self.account.popen_options(),
        )
        assert done.returncode == 0, f"{program}: {(done.stdout + done.stderr).decode(errors='replace')[-2000:]}"

    def configure(self, **values: object) -> None:
        """Write settings, for the next start or `reload`."""
        with (self.data / "postgresql.conf").open("a") as file:
            for name, value in values.items():
                print(f"{name} = '{value}'", file=file)

    def start(self, *, wait: bool = True) -> None:
        """Start the server, and wait until it answers."""
        with (self.data.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data,
                env={**os.environ, **self.env},
                process_group=0,
                **self.account.popen_options(),
            )
        if wait:
            wait_until(self.answers, 60)

    def answers(self) -> bool:
        """Return True if it lets us in."""
        assert self.process is None or self.process.poll() is None, self.log()[-3000:]
        try:
            psycopg.connect(self.url.replace(f"/{DATABASE}", "/postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def log(self) -> str:
        return (self.data.parent / "server.log").read_text(errors="replace")

    def stop(self, how: str = "fast") -> None:
        """Stop the server: smart, fast or immediate."""
        if self.process is not None:
            self.process.send_signal(STOPS[how])
            self.process.wait(60)
            self.process = None

    def kill(self) -> None:
        """Kill the postmaster. Its children notice by themselves; the next start has to wait for that."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def kill_all(self) -> None:
        """Kill the postmaster and all its children, as a machine that dies does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)  # so that it starts no others meanwhile
            for pid in children(self.process.pid):  # each has made a session, and so a group, of its own
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.kill()

    def reload(self) -> None:
        """Read the settings again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def promote(self) -> None:
        """Make a standby the primary."""
        with self.connected("postgres") as conn:
            conn.execute("SELECT pg_promote(wait => true)")

    def copy(self, data: Path) -> Cluster:
        """Copy a server that is stopped."""
        shutil.copytree(self.data, data, symlinks=True)
        for path in [data, *data.rglob("*")]:
            self.account.own(path)
        data.chmod(0o700)
        return Cluster(self.binaries, data, self.account)

    def standby(self, data: Path, name: str = "standby") -> Cluster:
        """Make a streaming standby of this running server; it is not started."""
        self.run(
            "pg_basebackup",
            *("-D", data, "-R", "-X", "stream", "-c", "fast"),
            *("-d", f"host=127.0.0.1 port={self.port} user=postgres application_name={name}"),
        )
        return Cluster(self.binaries, data, self.account)

    @contextmanager
    def connected(self, database: str = DATABASE) -> Iterator[psycopg.Connection[Any]]:
        """Connect as the superuser."""
        with psycopg.connect(self.url.replace(f"/{DATABASE}", f"/{database}"), autocommit=True) as conn:
            yield conn


@contextmanager
def folder() -> Iterator[tuple[Path, Account]]:
    """Make a folder that the server's user can reach, and remove it in the end."""
    path = Path(tempfile.mkdtemp(prefix="pgjobs-chaos-"))
    account = choose_account()
    account.own(path)
    path.chmod(0o755)
    try:
        yield path, account
    finally:
        shutil.rmtree(path, ignore_errors=True)


def make_template(binaries: Path, place: Path, account: Account) -> Cluster:
    """Make the server that all scenarios begin with: migrated, and stopped."""
    data = place / "template" / "data"
    data.parent.mkdir()
    account.own(data.parent)
    cluster = Cluster(reachable_binaries(binaries, account), data, account)
    cluster.run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8")
    with (data / "postgresql.conf").open("a") as file:
        file.write(CONFIG)
    cluster.start()
    with cluster.connected("postgres") as conn:
        conn.execute(f"CREATE DATABASE {DATABASE}")
    migrate.upgrade(cluster.url, schema="pgjobs")
    with cluster.connected() as conn:
        conn.execute("CREATE TABLE ledger (job bigint PRIMARY KEY, kind text NOT NULL)")
    cluster.stop()
    return cluster


@contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    """Run a server, and see to it that nothing of it is left."""
    try:
        cluster.start()
        yield cluster
    finally:
        if cluster.process is not None:
            cluster.process.send_signal(signal.SIGCONT)
            try:
                cluster.stop("immediate")
            except subprocess.TimeoutExpired:
                cluster.kill_all()


def wait_for_children(cluster: Cluster, seconds: float = 30.0) -> None:
    """Wait until the children of a postmaster that was killed are gone, so that the next one can start."""
    deadline = time.monotonic() + seconds
    mark = os.fsencode(str(cluster.data))
    while True:
        left = []
        for process in Path("/proc").iterdir():
            if process.name.isdecimal():
                try:
                    if (process / "cwd").resolve(strict=True) == cluster.data.resolve():
                        left.append(int(process.name))
                except OSError:
                    continue
        if not left:
            return
        assert time.monotonic() < deadline, (mark, left)
        time.sleep(0.05)
