"""The real `python -m pgjobs work`, started and stopped, with its output in a file."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psycopg

from tests.support.front import handed_over
from tests.support.processes import children, environment, is_alive, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MARK = "PGJOBS_OF_TEST_RUN"  # a variable in the environment of a worker and of all that it starts
QUIET = ("--log-format", "json")
QUICK = ("--heartbeat", "0.5", "--rescue-after", "1.5")  # for tests of rescue: seconds instead of half a minute


class Work:
    """A running `pgjobs work`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, mark: str) -> None:
        self.process = process
        self.pid = process.pid
        self.log = log
        self._mark = mark

    @property
    def output(self) -> str:
        """All that it and its processes have written so far."""
        return self.log.read_text("utf-8", "replace")

    def lines(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the log lines that have these values."""
        found = []
        for text in self.output.splitlines():
            if text.startswith("{"):
                line = json.loads(text)
                if all(line.get(key) == value for key, value in wanted.items()):
                    found.append(line)
        return found

    def members(self) -> list[int]:
        """List its worker processes."""
        return children(self.pid)

    def kill_a_member(self) -> int:
        """End one of its worker processes that lives, by SIGKILL. Return its pid."""
        while True:
            # One that was killed before is listed for as long as the supervisor has not looked.
            for pid in filter(is_alive, self.members()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return pid
            time.sleep(0.01)  # the next one is about to start

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def wait(self, seconds: float = 20.0) -> int:
        """Wait for its end, and give its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.output[-5000:]}") from None

    def stop(self, seconds: float = 20.0) -> int:
        """Drain it, and give its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def remains(self) -> list[int]:
        """List the processes that it started, directly or not, and itself, as far as they still run."""
        return marked(self._mark)

    def kill(self) -> None:
        """End all of it at once."""
        deadline = time.monotonic() + 10
        while self.process.poll() is None or (remains := self.remains()):
            for pid in [self.pid] if self.process.returncode is None else remains:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            assert time.monotonic() < deadline, self.remains()
            time.sleep(0.01)


def marked(mark: str) -> list[int]:
    """List the living processes with this mark in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                text = (process / "environ").read_bytes()
            except OSError:
                continue  # gone, or another user's
            if f"{MARK}={mark}\0".encode() in text:
                found.append(int(process.name))
    return found


@contextmanager
def work(
    url: str,
    *options: object,
    env: Mapping[str, str] | None = None,
    ready: bool = True,
    by_option: bool = True,
    before: Sequence[str] = (),
) -> Iterator[Work]:
    """Start a worker on the database, with these options, and see to it that nothing of it is left.

    `ready`: wait until its worker processes are in the table, or it has ended. `by_option`: name the database on the
    command line, not in the environment. `before`: a command that is to start it.
    """
    mark = secrets.token_hex(8)
    surroundings = {name: value for name, value in environment().items() if not name.startswith("PGJOBS_")}
    database = ["--database-url", url] if by_option else []
    arguments = ["work", *database, *QUIET, *map(str, options)]
    its_own = {**({} if by_option else {"PGJOBS_DATABASE_URL": url}), MARK: mark, **(env or {})}
    with tempfile.NamedTemporaryFile(prefix="pgjobs-work-", suffix=".log") as log:
        process = _start([*before], arguments, {**surroundings, **its_own}, log)
        running = Work(process, Path(log.name), mark)
        try:
            if ready:
                with psycopg.connect(url, autocommit=True) as conn:
                    wait_until(lambda: process.poll() is not None or _registered(conn, running), 60.0)
            yield running
        finally:
            running.kill()


def _start(before: list[str], arguments: list[str], env: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `pgjobs work`, or at once the supervisor that it would become."""
    handed = None if before else handed_over(arguments, env)
    command, fd = handed or ([*before, sys.executable, "-m", "pgjobs", *arguments], None)
    fds = [] if fd is None else [fd]
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, pass_fds=fds)
    finally:
        for each in fds:
            os.close(each)


def _registered(conn: psycopg.Connection, running: Work) -> bool:
    members = running.members()
    return bool(members) and scalar(conn, "SELECT count(*) FROM pgjobs.workers WHERE pid = ANY (%s)", [members]) == len(
        members
    )


def drain(url: str, *options: object, seconds: float = 60.0, **keywords: Any) -> str:
    """Run a worker until nothing is due, and give what it wrote."""
    with work(url, "--drain", *options, ready=False, **keywords) as running:
        code = running.wait(seconds)
        assert code == 0, f"exit code {code}:\n{running.output}"
        return running.output


def states(conn: psycopg.Connection, where: str = "true") -> dict[str, int]:
    """Count the jobs by status."""
    rows = conn.execute(f"SELECT status, count(*) FROM pgjobs.jobs WHERE {where} GROUP BY status").fetchall()
    return dict(rows)


def wait_for(conn: psycopg.Connection, condition: str, seconds: float = 20.0, log: Callable[[], str] = str) -> None:
    """Wait until an SQL condition is true.

    Raises:
        AssertionError: it did not come true in time.

    """
    deadline = time.monotonic() + seconds
    while True:
        row = conn.execute(f"SELECT {condition}").fetchone()
        if row is not None and row[0]:
            return
        assert time.monotonic() < deadline, f"not true after {seconds} s: {condition}\n{states(conn)}\n{log()}"
        time.sleep(0.02)


def wait_done(conn: psycopg.Connection, seconds: float = 20.0, log: Callable[[], str] = str) -> None:
    """Wait until no job is queued or running."""
    wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.jobs_live WHERE status IN ('queued', 'running'))", seconds, log)


def scalar(conn: psycopg.Connection, query: str, values: object = None) -> Any:
    """Return the first value of the first row."""
    row = conn.execute(query, values).fetchone()  # type: ignore[call-overload]  # not a literal
    assert row is not None
    return row[0]
