"""The servers that the contenders use: one PostgreSQL and one Redis for all of them, with settings that are told."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from psycopg import sql

from pgjobs.embedded import delete_server, embedded_server

SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
# What a reader of the figures asks for, whether it was changed or not.
TELLING = (
    *(
        "shared_buffers",
        "max_wal_size",
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "wal_level",
        "wal_compression",
    ),
    *("autovacuum", "max_connections", "work_mem", "checkpoint_timeout", "jit", "io_method"),
)
REDIS_SECONDS = 10.0  # until it has to answer


@dataclass(frozen=True)
class Server:
    """A PostgreSQL. `pid`: its first process, None where it is out of sight (another machine, a container)."""

    url: str
    settings: Mapping[str, str]
    version: str
    pid: int | None

    def database(self, name: str) -> str:
        """Return the URL of another database on it."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop(self, name: str) -> None:
        """Drop a database, closing its connections."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@dataclass(frozen=True)
class Redis:
    """A Redis of our own, with its default settings (snapshots now and then, no append-only file)."""

    url: str
    pid: int
    version: str
    settings: Mapping[str, str] = field(default_factory=lambda: {"appendonly": "no", "save": "default"})


@contextmanager
def server(url: str | None = None, settings: Mapping[str, str] = SETTINGS) -> Iterator[Server]:
    """Start a PostgreSQL with these settings and all others at their defaults; or use the one at `url` as it is."""
    if url is not None:
        yield look(url)
        return
    parent = Path(tempfile.mkdtemp(prefix="pgjobs-bench-"))
    parent.chmod(0o711)  # its server may run as another user, who must pass through
    directory = parent / "server"
    try:
        with embedded_server(directory) as embedded, psycopg.connect(embedded.url, autocommit=True) as admin:
            for name, value in settings.items():
                admin.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        # The last one out has stopped it; now it starts with what was set.
        with embedded_server(directory) as embedded:
            yield look(embedded.url)
    finally:
        delete_server(directory)
        shutil.rmtree(parent, ignore_errors=True)


def look(url: str) -> Server:
    """Return the kind of server at the URL."""
    with psycopg.connect(url, autocommit=True) as conn:
        rows = conn.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (%s) ORDER BY name", [list(TELLING)]
        ).fetchall()
        version = str(conn.info.parameter_status("server_version")).split()[0]
        return Server(url, dict(rows), version, _postmaster(conn.info.backend_pid))


def _postmaster(backend: int) -> int | None:
    """Return the parent of a backend, if that is a process on this machine."""
    try:
        process = psutil.Process(backend)
        parent = process.parent()
        return parent.pid if parent and process.name().startswith("postgres") else None
    except psutil.Error:
        return None


@contextmanager
def redis() -> Iterator[Redis | None]:
    """Start a Redis on a free port; None where there is no such program."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pgjobs-bench-redis-") as directory:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        version = next((word[2:] for word in said.split() if word.startswith("v=")), "unknown")
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for_redis(port)
            yield Redis(f"redis://127.0.0.1:{port}/0", process.pid, version)
        finally:
            process.kill()  # nothing in it is worth a snapshot
            process.wait()


def _wait_for_redis(port: int) -> None:
    deadline = time.monotonic() + REDIS_SECONDS
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as conn:
                conn.sendall(b"PING\r\n")
                if conn.recv(7).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"redis-server did not answer within {REDIS_SECONDS:g} s")
        time.sleep(0.02)
