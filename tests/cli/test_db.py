"""`pgjobs db` and `--embedded`, as a user runs them: in a folder, without a configured database."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs.embedded import embedded_server, stop_server
from tests.cli.conftest import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Pgjobs = Callable[..., Result]

SOMEWHERE = "./.pgjobs/"


@pytest.fixture
def folder(embedded_directory: Path) -> Iterator[Path]:
    """A folder that root's server can reach; what runs in it at the end is stopped."""
    embedded_directory.mkdir(mode=0o711)
    yield embedded_directory
    stop_server(embedded_directory / ".pgjobs")


@pytest.fixture
def pgjobs(folder: Path, environment: dict[str, str], binaries: Path) -> Pgjobs:
    """Run `pgjobs` in the folder."""
    environment["PATH"] = f"{binaries}{os.pathsep}{environment['PATH']}"
    environment.pop("PGJOBS_DATABASE_URL", None)

    def run(*arguments: str, **changes: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "pgjobs", *arguments],
            cwd=folder,
            env=environment | changes,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


def test_db_start_keeps_a_server_with_tables_until_db_stop(pgjobs: Pgjobs, folder: Path) -> None:
    assert pgjobs("db", "start").out.startswith(f"The embedded PostgreSQL in {SOMEWHERE} is running:")
    assert "was running already" in pgjobs("db", "start").out

    listed = pgjobs("jobs", "list", "--json")
    assert (listed.code, listed.out) == (0, "[]\n")
    assert listed.err == f"Using the embedded PostgreSQL in {SOMEWHERE}.\n"
    with psycopg.connect(pgjobs("db", "url").out.strip()) as conn:
        assert conn.execute("SELECT count(*) FROM pgjobs.jobs").fetchone() == (0,)
    asked = pgjobs("db", "psql", "-Atc", "SELECT 6 * 7")
    assert (asked.code, asked.out) == (0, "42\n")
    assert pgjobs("db", "psql", "-c", "SELECT nonsense").code == 1

    with embedded_server(folder / ".pgjobs") as server:
        assert not server.started
        used = pgjobs("db", "stop")
        assert (used.code, used.out) == (0, "")
        assert "used by other processes" in used.err
    assert "nothing to stop" in pgjobs("db", "stop").err, "it has stopped with its last user"
    assert pgjobs("db", "start").code == 0
    assert pgjobs("db", "stop").out == f"The embedded PostgreSQL in {SOMEWHERE} is stopped.\n"
    assert pgjobs("jobs", "list").code == 1
    for command in ("url", "psql"):
        refused = pgjobs("db", command)
        assert (refused.code, refused.out) == (1, "")
        assert "`pgjobs db start`" in refused.err


def test_embedded_starts_a_server_for_one_command_whatever_is_configured(pgjobs: Pgjobs, folder: Path) -> None:
    elsewhere = {"PGJOBS_DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"}
    for arguments in (("--embedded", "jobs", "list", "--json"), ("jobs", "list", "--json", "--embedded")):
        result = pgjobs(*arguments, **elsewhere)
        assert (result.code, result.out, result.err) == (0, "[]\n", "")
    assert pgjobs("work", "--drain", "--embedded", **elsewhere).code == 0
    assert not (folder / ".pgjobs" / "url").exists(), "it has stopped with the command"
