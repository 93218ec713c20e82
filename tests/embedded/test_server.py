"""The embedded server, with real processes: shared, stopped by the last one out, never left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest

from pgjobs.core.errors import ConfigurationError
from pgjobs.embedded import embedded_server
from pgjobs.embedded.cluster import LOG_LIMIT
from tests.support import processes
from tests.support.processes import children, is_alive, wait_until

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


class User:
    """A process that uses the server in a folder."""

    def __init__(self, directory: Path, binaries: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.embedded_user", str(directory), str(binaries)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=processes.environment(),
        )

    def __enter__(self) -> User:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        if self.process.stdout:
            self.process.stdout.close()

    def enter(self) -> dict[str, Any]:
        """Wait until it is in, and give what it knows of the server."""
        assert self.process.stdout
        seen: dict[str, Any] = json.loads(self.process.stdout.readline())
        return seen

    def leave(self) -> None:
        """Make it leave, and wait for it."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture
def directory(embedded_directory: Path) -> Path:
    return embedded_directory


def daemon_of(directory: Path) -> int:
    (pid,) = processes.find("pgjobs.embedded.daemon", str(directory))
    return pid


def servers_of(directory: Path) -> list[int]:
    found = processes.find("-D", str((directory / "data").resolve()))
    # A child that has just been forked still has its parent's name.
    return [pid for pid in found if processes.parent(pid) not in found]


def nothing_left(directory: Path) -> bool:
    return not servers_of(directory) and not processes.find("pgjobs.embedded.daemon", str(directory))


def ask(url: str, statement: Any) -> Any:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_data_is_durable_by_default_and_found_again(directory: Path, binaries: Path) -> None:
    with embedded_server(directory, binaries=binaries) as server, psycopg.connect(server.url) as conn:
        assert server.started
        assert conn.execute("SHOW fsync").fetchone() == ("on",)
        assert conn.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert servers_of(directory) == []
    with embedded_server(directory, binaries=binaries) as server, psycopg.connect(server.url) as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_processes_that_ask_at_the_same_moment_share_one_server(directory: Path, binaries: Path) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(User(directory, binaries)) for _ in range(4)]
        seen = [user.enter() for user in users]
        assert sorted(answer["started"] for answer in seen) == [False, False, False, True]
        assert len({answer["url"] for answer in seen}) == 1
        assert len(servers_of(directory)) == 1
        for user in users[:-1]:
            user.leave()
        assert ask(seen[0]["url"], "SELECT 1") == 1, "one is still in"
        users[-1].leave()
        assert servers_of(directory) == [], "the last one out waits until the server has stopped"


def test_users_who_come_while_the_last_one_leaves_get_a_working_server(directory: Path, binaries: Path) -> None:
    command = [sys.executable, "-m", "tests.support.embedded_user", str(directory), str(binaries), "8"]
    users = [subprocess.Popen(command, env=processes.environment()) for _ in range(3)]
    assert [user.wait(90) for user in users] == [0, 0, 0]
    wait_until(lambda: nothing_left(directory))


def test_a_killed_user_leaves_no_server_behind(directory: Path, binaries: Path) -> None:
    with User(directory, binaries) as user:
        seen = user.enter()
        assert servers_of(directory)
        user.process.kill()
        wait_until(lambda: nothing_left(directory))
        os.kill(seen["child"], signal.SIGKILL)


def test_a_killed_daemon_leaves_no_server_behind(directory: Path, binaries: Path) -> None:
    with embedded_server(directory, binaries=binaries) as server:
        ask(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        (postmaster,) = servers_of(directory)
        backends = children(postmaster)
        os.kill(daemon_of(directory), signal.SIGKILL)
        wait_until(lambda: not any(is_alive(pid) for pid in (postmaster, *backends)))
        with embedded_server(directory, binaries=binaries) as second:
            assert second.started
            assert ask(second.url, "SELECT answer FROM kept") == 42


def test_it_starts_again_after_everything_was_killed(directory: Path, binaries: Path) -> None:
    with User(directory, binaries) as user:
        seen = user.enter()
        ask(seen["url"], "CREATE TABLE kept AS SELECT 42 AS answer")
        (postmaster,) = servers_of(directory)
        everything = (user.process.pid, daemon_of(directory), postmaster, *children(postmaster), seen["child"])
        for pid in everything:
            with suppress(ProcessLookupError):  # gone with the ones before it
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(is_alive(pid) for pid in everything))
        with embedded_server(directory, binaries=binaries, durable=False) as server:
            assert server.started
            assert ask(server.url, "SELECT answer FROM kept") == 42


def test_a_killed_server_comes_back_under_its_url_while_it_is_used(directory: Path, binaries: Path) -> None:
    with embedded_server(directory, binaries=binaries) as server:
        (postmaster,) = servers_of(directory)
        os.kill(postmaster, signal.SIGKILL)
        wait_until(lambda: servers_of(directory) not in ([], [postmaster]))

        def answers() -> bool:
            try:
                return bool(ask(server.url, "SELECT 1"))
            except psycopg.OperationalError:
                return False

        wait_until(answers)
    assert servers_of(directory) == []


def test_a_stale_process_number_that_now_is_a_stranger_does_not_matter(directory: Path, binaries: Path) -> None:
    with embedded_server(directory, binaries=binaries, durable=False):
        stale = (directory / "data" / "postmaster.pid").read_text().split("\n", 1)[1]
    # As after a reboot: the process id is in use again, by another program (here: of postgres's user).
    owner = (directory / "data").stat().st_uid
    stranger = subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None)
    try:
        (directory / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n{stale}")
        os.chown(directory / "data" / "postmaster.pid", owner, -1)
        with embedded_server(directory, binaries=binaries, durable=False) as server:
            assert ask(server.url, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_port_that_was_taken_meanwhile_is_left_to_its_new_owner(directory: Path, binaries: Path) -> None:
    with embedded_server(directory, binaries=binaries, durable=False) as server:
        port = urlsplit(server.url).port
        os.kill(daemon_of(directory), signal.SIGKILL)
        wait_until(lambda: not servers_of(directory))
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            with embedded_server(directory, binaries=binaries, durable=False) as second:
                assert urlsplit(second.url).port != port
                assert ask(second.url, "SELECT 1") == 1


def test_it_is_out_of_reach_of_the_terminal(directory: Path, binaries: Path) -> None:
    with embedded_server(directory, binaries=binaries, durable=False):
        (postmaster,) = servers_of(directory)
        for pid in (daemon_of(directory), postmaster):
            assert os.getsid(pid) != os.getsid(0), "a process group of the terminal gets its Ctrl-C"


def test_secrets_can_be_read_by_their_owner_only(directory: Path, binaries: Path) -> None:
    before = os.umask(0)
    try:
        with embedded_server(directory, binaries=binaries, durable=False) as server:
            for name in ("url", "password", "server.log", "users.lock"):
                assert (directory / name).stat().st_mode & 0o777 == 0o600, name
            assert (directory / "data").stat().st_mode & 0o777 == 0o700
            assert (directory / "url").read_text() == server.url
            wrong = server.url.replace((directory / "password").read_text(), "wrong")
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                ask(wrong, "SELECT 1")
            assert ask(server.url, "SHOW unix_socket_directories") == ""
            assert ask(server.url, "SHOW listen_addresses") == "127.0.0.1"
    finally:
        os.umask(before)


def test_a_data_directory_of_another_major_version_is_refused(directory: Path, binaries: Path) -> None:
    with embedded_server(directory, binaries=binaries, durable=False):
        pass
    (directory / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ConfigurationError, match=r"made by PostgreSQL 9, but PostgreSQL \d+ is installed") as caught:
        with embedded_server(directory, binaries=binaries, durable=False):
            pass
    assert "\n" not in str(caught.value)


def test_a_failing_start_shows_what_the_server_said(directory: Path, binaries: Path) -> None:
    with embedded_server(directory, binaries=binaries, durable=False):
        pass
    with (directory / "data" / "postgresql.conf").open("a") as file:
        file.write("shared_preload_libraries = 'no_such_library'\n")
    with pytest.raises(ConfigurationError, match=r"does not start: could not access file .no_such_library"):
        with embedded_server(directory, binaries=binaries, durable=False):
            pass
    wait_until(lambda: nothing_left(directory))


def test_directory_that_is_a_file_is_refused(directory: Path, binaries: Path) -> None:
    directory.write_text("a file")
    with pytest.raises(ConfigurationError, match="No embedded PostgreSQL in"):
        with embedded_server(directory, binaries=binaries):
            pass


def test_a_folder_without_programs_is_refused(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no initdb and postgres"):
        with embedded_server(directory, binaries=tmp_path):
            pass


def test_the_log_stays_bounded(directory: Path, binaries: Path) -> None:
    directory.mkdir(mode=0o711)
    (directory / "server.log").write_bytes(b"x" * (LOG_LIMIT + 1))
    with embedded_server(directory, binaries=binaries, durable=False):
        assert (directory / "server.log").stat().st_size < LOG_LIMIT
        assert (directory / "server.log.1").stat().st_size > LOG_LIMIT


def test_the_last_one_out_waits_also_when_the_block_raises(directory: Path, binaries: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with embedded_server(directory, binaries=binaries, durable=False):
            raise ZeroDivisionError
    assert servers_of(directory) == []
