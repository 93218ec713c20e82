"""Start what a contender needs, feed it, wait for it; and never wait without a limit.

    with stand.workers(2) as workers, stand.producers("bulk", 50_000, 1_000) as producers:
        sent = producers.send()
        workers.wait_for(sent.jobs)

Whatever goes wrong with a contender is a `Failed` with one line for the table. Its processes are gone after the block.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from benchmarks.contender import Configuration, Contender
from benchmarks.counters import Watch, cpu_seconds
from benchmarks.server import Redis, Server

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0  # for a driver's command that does not measure: setup, reset, connecting
STOP_SECONDS = 6.0  # from SIGTERM to SIGKILL
_RAN = struct.Struct("<qq")
_SENT = struct.Struct("<qqq")


class Failed(Exception):
    """A contender did not do what it was asked to; the message is one line without names of this machine."""


@dataclass(frozen=True)
class Stand:
    """A contender in one configuration, with its driver's command line and a database of its own on the server.

    `variables`: environment of the driver besides what the protocol needs, such as BENCH_PAYLOAD.
    """

    contender: Contender
    configuration: Configuration
    command: tuple[str, ...]
    server: Server
    redis: Redis | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.contender.name} {self.kind}"

    @property
    def kind(self) -> str:
        """`default`, `best`, or what the configuration is called."""
        if self.configuration == self.contender.best:
            return "best"
        return "default" if self.configuration == self.contender.default else self.configuration.name

    @property
    def database(self) -> str:
        return f"bench_{self.contender.name}"

    @property
    def url(self) -> str:
        return self.server.database(self.database)

    def with_variables(self, **variables: object) -> Stand:
        """Return the same with more in its environment."""
        more = {name: str(value) for name, value in variables.items()}
        return replace(self, variables={**self.variables, **more})

    def set_up(self) -> None:
        """Make the contender's tables, from nothing."""
        self._call("setup")

    def tear_down(self) -> None:
        """Drop its database."""
        self.server.drop(self.database)

    def empty(self) -> None:
        """Empty its tables, and let the server settle."""
        self._call("reset")
        self.settle()

    def settle(self) -> None:
        """Bring statistics up to date and write a checkpoint, so that a measure does not pay for the one before."""
        if self.contender.pending:
            with self.watch() as watch:
                watch.settle()

    def watch(self) -> Watch:
        """Look at its database."""
        return Watch(self.url, self.contender.pending)

    def server_cpu(self) -> float | None:
        """Return the CPU seconds of the server that it uses; None if that server is out of sight."""
        pid = self.redis.pid if self.contender.redis and self.redis else self.server.pid
        return None if pid is None else cpu_seconds([pid])

    @contextmanager
    def workers(self, processes: int = 1) -> Iterator[Workers]:
        """Start its workers. They are told to stop at the end, and killed if they do not."""
        with tempfile.TemporaryDirectory(prefix="pgjobs-bench-") as directory:
            ran = Path(directory, "ran")
            ran.touch()
            own = self.contender.processes
            environment = self._environment(BENCH_RAN=ran, BENCH_PROCESSES=processes if own else 1)
            members: list[_Process] = []
            try:
                for number in range(1 if own else processes):
                    log = Path(directory, f"worker-{number}.log")
                    words = ("worker", self.configuration.name)
                    members.append(_Process((*self.command, *words), environment, log))
                yield Workers(self, members, ran)
            finally:
                _stop(members)

    @contextmanager
    def producers(self, *words: object, processes: int = 1) -> Iterator[Producers]:
        """Start producers with the driver's command `enqueue`, `bulk`, `paced` or `answers`; they are connected then.

        The number of jobs (of `paced`: the rate) is that of all of them together.
        """
        with tempfile.TemporaryDirectory(prefix="pgjobs-bench-") as directory:
            sent = Path(directory, "sent")
            sent.touch()
            command, amount, *others = words
            share = float(str(amount)) / processes
            members: list[_Process] = []
            try:
                for number in range(processes):
                    environment = self._environment(BENCH_SENT=sent, BENCH_FIRST=number * 10_000_000)
                    log = Path(directory, f"producer-{number}.log")
                    own = share if command == "paced" else int(share)
                    line = (*self.command, *map(str, (command, own, *others)))
                    members.append(_Process(line, environment, log, talks=True))
                producers = Producers(members, sent)
                producers.wait_for_connections()
                yield producers
            finally:
                _stop(members)

    def _environment(self, **variables: object) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BENCH_", "PGJOBS_"))}
        return {
            **inherited,
            "BENCH_DATABASE_URL": self.url,
            "BENCH_REDIS_URL": self.redis.url if self.redis else "",
            "BENCH_CONFIGURATION": self.configuration.name,
            **self.contender.environment,
            **self.variables,
            **{name: str(value) for name, value in variables.items()},
        }

    def _call(self, *words: str) -> None:
        with tempfile.TemporaryDirectory(prefix="pgjobs-bench-") as directory:
            process = _Process((*self.command, *words), self._environment(), Path(directory, "log"))
            try:
                if process.wait(START_SECONDS) != 0:
                    raise Failed(f"{words[0]}: {process.last_words()}")
            except subprocess.TimeoutExpired:
                raise Failed(f"{words[0]}: not done after {START_SECONDS:g} s") from None
            finally:
                _stop([process])


class _Process:
    """A driver's process, in a group of its own and in a folder of its own; its output is kept for its last words."""

    def __init__(
        self, command: tuple[str, ...], environment: Mapping[str, str], log: Path, *, talks: bool = False
    ) -> None:
        self.log = log
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=log.parent,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self.popen.pid
        self._reader = threading.Thread(target=self._read, daemon=True) if talks else None
        if self._reader:
            self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.put(line.decode(errors="replace").strip())
        self.lines.put("")  # it has closed its output

    def ended(self) -> bool:
        return self.popen.poll() is not None

    def wait(self, seconds: float) -> int:
        return self.popen.wait(seconds)

    def line(self, deadline: float) -> str:
        """Return the next line that it prints.

        Raises:
            Failed: it has ended, or says nothing until then.

        """
        try:
            line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            raise Failed("a producer was not done in time") from None
        if not line:
            raise Failed(f"a producer ended: {self.last_words()}")
        return line

    def last_words(self) -> str:
        """Return the last line that it wrote to its log, without what is this machine's."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return anonymous(lines[-1]) if lines else f"without a word, exit code {self.popen.returncode}"

    def close(self) -> None:
        if self._reader:
            self._reader.join(1)
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def anonymous(line: str) -> str:
    """Shorten a message, and leave out passwords, folders and addresses."""
    line = re.sub(r"\b\w+://\S+", "(a URL)", line)
    line = re.sub(r"(?<![\w.])/(?:[\w.@+-]+/)+", "", line)
    return " ".join(line.split())[:160]


class Workers:
    """A contender's workers, as many as were asked for, and what they have run."""

    def __init__(self, stand: Stand, members: list[_Process], ran: Path) -> None:
        self._stand = stand
        self._members = members
        self._ran = ran

    @property
    def pids(self) -> list[int]:
        return [member.pid for member in self._members]

    def cpu_seconds(self) -> float:
        """Return what they have used until now, from their start."""
        return cpu_seconds(self.pids)

    def processes(self) -> list[psutil.Process]:
        """Return all their processes, children included."""
        found = [psutil.Process(pid) for pid in self.pids]
        return found + [child for process in found for child in process.children(recursive=True)]

    def check(self) -> None:
        """Raise `Failed` if one of them has ended."""
        for member in self._members:
            if member.ended():
                raise Failed(f"a worker ended (exit code {member.popen.returncode}): {member.last_words()}")

    def count(self) -> int:
        """Return the number of jobs that have started, those that were run twice counted twice."""
        return self._ran.stat().st_size // _RAN.size

    def ran(self) -> list[tuple[int, int]]:
        """Return number and time (ns) of each job that has started, in the order of time."""
        data = self._ran.read_bytes()
        records = list(_RAN.iter_unpack(data[: len(data) // _RAN.size * _RAN.size]))
        return sorted(records, key=lambda record: record[1])

    def wait_for(self, jobs: int, seconds: float) -> None:
        """Wait until N have started.

        Raises:
            Failed: not within these seconds, or a worker has ended.

        """
        deadline = time.monotonic() + seconds
        while (count := self.count()) < jobs:
            self.check()
            if time.monotonic() > deadline:
                raise Failed(f"{count:,} of {jobs:,} jobs ran in {seconds:g} s")
            time.sleep(0.005)

    def wait_until_done(self, jobs: int, seconds: float, watch: Watch | None) -> int:
        """Wait until N have started and none is left in the tables, and give that moment (ns).

        Without a `watch` (a contender whose jobs are not in PostgreSQL) it is the time when the last one started. The
        tables are looked at only when all jobs have started, so as not to take the workers' time.

        Raises:
            Failed: not within these seconds, or a worker has ended.

        """
        deadline = time.monotonic() + seconds
        self.wait_for(jobs, seconds)
        if watch is None:
            return self.ran()[-1][1]
        while (left := watch.pending()) > 0:
            self.check()
            if time.monotonic() > deadline:
                raise Failed(f"{left:,} of {jobs:,} jobs were not finished in {seconds:g} s")
            time.sleep(0.002)
        return time.time_ns()


@dataclass(frozen=True)
class Sent:
    """What producers did. `started`, `ended`: ns, the first start and the last end. `cpu`: seconds, of all of them."""

    jobs: int
    started: int
    ended: int
    cpu: float

    @property
    def seconds(self) -> float:
        return (self.ended - self.started) / 1e9

    @property
    def per_second(self) -> float:
        return self.jobs / self.seconds


class Producers:
    """Producers that are connected, have enqueued one job (number -1) for each connection, and wait for the word."""

    def __init__(self, members: list[_Process], sent: Path) -> None:
        self._members = members
        self._sent = sent
        self._cpu_before = 0.0

    def wait_for_connections(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        for member in self._members:
            if (line := member.line(deadline)) != "ready":
                raise Failed(f"a producer said {anonymous(line)!r} and not 'ready'")

    def begin(self) -> None:
        """Send the start signal."""
        self._cpu_before = cpu_seconds(member.pid for member in self._members)
        for member in self._members:
            assert member.popen.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended; `finish` says how
                member.popen.stdin.write(b"\n")
                member.popen.stdin.flush()

    def finish(self, seconds: float) -> Sent:
        """Wait until all have enqueued everything.

        Raises:
            Failed: not within these seconds, or one has ended before.

        """
        deadline = time.monotonic() + seconds
        answers: list[dict[str, Any]] = [json.loads(member.line(deadline)) for member in self._members]
        cpu = cpu_seconds(member.pid for member in self._members) - self._cpu_before
        started, ended = min(answer["started"] for answer in answers), max(answer["ended"] for answer in answers)
        return Sent(sum(answer["jobs"] for answer in answers), started, ended, cpu)

    def send(self, seconds: float) -> Sent:
        """Send the start signal, and wait."""
        self.begin()
        return self.finish(seconds)

    def answers(self, seconds: float) -> dict[str, Any]:
        """Send the start signal, and return what `answers` has measured."""
        self.begin()
        (member,) = self._members
        found: dict[str, Any] = json.loads(member.line(time.monotonic() + seconds))
        return found

    def sent(self) -> list[tuple[int, int, int]]:
        """Of `paced`: number, time before and time after its transaction (ns), for each job."""
        data = self._sent.read_bytes()
        return list(_SENT.iter_unpack(data[: len(data) // _SENT.size * _SENT.size]))


def end_on_sigterm() -> None:
    """Make SIGTERM end this process like Ctrl-C, so that no contender is left behind."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def _stop(members: list[_Process]) -> None:
    """End processes and all that they have started: politely, then not."""
    families: list[psutil.Process] = []
    for member in members:
        with contextlib.suppress(psutil.Error):
            families += psutil.Process(member.pid).children(recursive=True)
        if not member.ended():
            with contextlib.suppress(ProcessLookupError):
                member.popen.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for member in members:
        with contextlib.suppress(subprocess.TimeoutExpired):
            member.wait(max(0.01, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(member.pid, signal.SIGKILL)  # its group: also what it has started and left behind
        member.wait(STOP_SECONDS)
        member.close()
    for process in families:
        with contextlib.suppress(psutil.Error):
            process.kill()


def command_of(contender: Contender) -> tuple[str, ...]:
    """Return the command line of a contender's driver, in whose environment its packages are.

    Raises:
        CanNotBeInstalled: see `benchmarks.environments`.

    """
    if contender.packages or contender.node:
        from benchmarks.environments import prepare

        return tuple(prepare(contender))
    # What is inherited comes first: so another version of pgjobs can be measured with this harness.
    inherited = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    path = os.pathsep.join([*inherited, str(ROOT), str(ROOT / "src")])
    return ("env", f"PYTHONPATH={path}", sys.executable, "-m", f"benchmarks.drivers.{contender.name}")
