"""A disk that is full: the one with the tables, which gives errors, and the one with the WAL, which ends the server.

Each is a small tmpfs, filled by a big file beside what PostgreSQL has there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from tests.system.chaos.cluster import DATABASE, wait_for_children
from tests.system.chaos.scenario import scenario
from tests.system.chaos.scenarios.server import FORGOTTEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.chaos.stage import Stage

ROOM = 400  # megabytes
MOUNTED = "tmpfs that can be mounted"


@cache
def can_mount() -> bool:
    """Find out whether a tmpfs can be mounted here."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
        )
        if done.returncode == 0:
            subprocess.run(["umount", place], check=True)
    return done.returncode == 0


class Disk:
    """A disk at `path`, that can be filled up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave no room."""
        with self._ballast.open("ab", buffering=0) as file:
            piece = b"\0" * 65536
            try:
                while file.write(piece):
                    pass
            except OSError:
                pass  # full

    def free(self) -> None:
        """Free the space."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def mounted(stage: Stage, name: str) -> Iterator[Disk]:
    """Mount a disk of the server's."""
    path = stage.place / name
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "tmpfs", path], check=True)
    try:
        stage.cluster.account.own(path)
        yield Disk(path)
    finally:
        if stage.cluster.process is not None:
            stage.cluster.stop("immediate")
        subprocess.run(["umount", path], check=True)


def tables_on_a_disk(stage: Stage) -> None:
    """Move the database to a disk of its own; the WAL stays where it is."""
    disk = stage.prop = stage.enter(mounted(stage, "tables"))
    place = disk.path / "tablespace"
    place.mkdir()
    stage.cluster.account.own(place)
    with stage.cluster.connected("postgres") as conn:
        conn.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        conn.execute(f"ALTER DATABASE {DATABASE} SET TABLESPACE small")


def wal_on_a_disk(stage: Stage) -> None:
    """Move the WAL to a disk of its own."""
    disk = stage.prop = stage.enter(mounted(stage, "wal"))
    cluster = stage.cluster
    cluster.stop("fast")
    new = disk.path / "pg_wal"
    shutil.copytree(cluster.data / "pg_wal", new)
    shutil.rmtree(cluster.data / "pg_wal")
    (cluster.data / "pg_wal").symlink_to(new)
    for path in (cluster.data / "pg_wal", new, *new.rglob("*")):
        cluster.account.own(path)
    new.chmod(0o700)
    cluster.start()


def complaints_of(stage: Stage, log: str, since: int) -> int:
    return stage.cluster.log()[since:].count(log)


@scenario(
    "the disk with the tables full",
    "disk",
    20,
    wants={MOUNTED: can_mount},
    before=tables_on_a_disk,
    # So that rows are never put into what is free in a table already.
    settings={"autovacuum": "off"},
)
def tables_full(stage: Stage) -> None:
    refused = 0
    for _ in stage.until_over(1.0, 2.0):
        read = len(stage.cluster.log())
        with stage.outage():
            stage.prop.fill()
            time.sleep(stage.dice.uniform(1.0, 4.0))
            stage.prop.free()
        refused += complaints_of(stage, "No space left on device", read)
    stage.note(f"{refused} statements found no room")
    assert refused, "the disk was never full"


@scenario(
    "the disk with the WAL full",
    "disk",
    20,
    wants={MOUNTED: can_mount},
    before=wal_on_a_disk,
    may=FORGOTTEN,
    settings={"max_wal_size": "64MB", "min_wal_size": "32MB", "restart_after_crash": "on"},
)
def wal_full(stage: Stage) -> None:
    panics = 0
    for _ in stage.until_over(1.0, 2.0):
        read = len(stage.cluster.log())
        with stage.outage():
            stage.prop.fill()
            deadline = time.monotonic() + 5.0
            while not complaints_of(stage, "PANIC", read) and time.monotonic() < deadline:
                with suppress(psycopg.Error), stage.cluster.connected() as conn:  # write into what is preallocated
                    conn.execute("SELECT pg_logical_emit_message(false, 'chaos', repeat('x', 1000000))")
            time.sleep(stage.dice.uniform(1.0, 4.0))
            stage.prop.free()
            process = stage.cluster.process
            if process is not None and process.poll() is not None:  # it could not even recover
                stage.cluster.process = None
                wait_for_children(stage.cluster)
                stage.cluster.start()
        panics += complaints_of(stage, "PANIC", read)
    stage.note(f"{panics} times the server ended itself")
    assert panics, "the disk was never full"
