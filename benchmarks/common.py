"""What the measurements share: a database of their own, a worker, and figures."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from pgjobs.db import migrations as migrate
from pgjobs.embedded import delete_server, embedded_server

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def database(url: str | None) -> Iterator[str]:
    """Make a migrated database, on the server of `url` or on an embedded one, and drop it in the end."""
    if url is None:
        parent = Path(tempfile.mkdtemp(prefix="pgjobs-bench-"))
        parent.chmod(0o711)
        try:
            with embedded_server(parent / "server") as server, database(server.url) as own:
                yield own
        finally:
            delete_server(parent / "server")
            parent.rmdir()
        return
    name = f"pgjobs_bench_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            own = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
            migrate.upgrade(own)
            yield own
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def worker(url: str, *options: object, quiet: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Start `pgjobs work`; what it logs at level error is shown, unless `quiet`."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "pgjobs", "work", "--database-url", url, "--log-level", "error"),
            *map(str, options),
        ],
        env={**os.environ, "PYTHONPATH": path, "BENCH_DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()


def scalar(conn: psycopg.Connection, query: str, values: Sequence[Any] = ()) -> Any:
    """Return the first value of the first row."""
    row = conn.execute(query, values).fetchone()
    assert row is not None
    return row[0]


def say(**figures: Any) -> None:
    """Print the result: one line."""
    print(json.dumps(figures, ensure_ascii=False), flush=True)
