"""The configuration of a worker: queues and slots, processes, times. It is sent to its processes as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pgjobs.core.config import DEFAULT_RESCUE_AFTER
from pgjobs.core.errors import UsageError
from pgjobs.core.text import is_glob, matches_glob, shorten_repr
from pgjobs.core.validate import check_queue

MAX_SLOTS = 10_000
MINIMUMS = {"max_jobs": 1, "max_memory": 64, "job_memory": 64}  # a process of Python takes more than nothing
MAX_SECONDS = 7 * 86400.0
DEFAULT_SLOTS = 10
MAX_FOUND_QUEUES = 100  # that a worker serves because a pattern matches them: each takes a connection
DEFAULT_QUEUE = "default"
DEFAULT_GRACE = 30.0  # seconds
DEFAULT_HEARTBEAT = 5.0  # seconds
DEFAULT_LISTEN = "0.0.0.0"  # noqa: S104 (probes and scrapes come from other hosts)
STUCK_AFTER = 5.0  # seconds from a job's timeout until its worker process is replaced because the job did not stop


@dataclass(frozen=True, slots=True)
class QueueSlots:
    """A queue, and how many of its jobs may run at once in one worker process."""

    name: str
    concurrency: int = DEFAULT_SLOTS

    def __post_init__(self) -> None:
        check_queue(self.name)
        if not 1 <= self.concurrency <= MAX_SLOTS:
            raise UsageError(f"queue {self.name}: concurrency is {self.concurrency}; give 1 to {MAX_SLOTS:,}.")

    @property
    def is_pattern(self) -> bool:
        """Whether the name has a `*` or a `?`, and stands for all queues that it matches."""
        return is_glob(self.name)

    def matches(self, name: str) -> bool:
        """Return True if the pattern matches the name of a queue.

        >>> QueueSlots("mail-*").matches("mail-eu"), QueueSlots("mail-*").matches("mail")
        (True, False)

        """
        return matches_glob(self.name, name)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How `pgjobs work` runs. Times are seconds.

    `patterns`: other queues that are served, as many as match. `imports`: modules to import at the start, so that the
    first job does not pay for it; `hooks`: those that are imported before. `processes`: worker processes, each with all
    the slots. `drain`: exit when nothing is due. `grace`: how long running jobs may continue after SIGTERM.
    `heartbeat`: between two heartbeats. `rescue_after`: without a heartbeat, until a worker is considered dead and its
    jobs are taken back. `allow`: what its jobs may call (None: anything). `payload`: the formats that it accepts, "any"
    or "json". `max_jobs`, `max_memory` (megabytes): after that many jobs, or with that much memory, a process is
    replaced by a fresh one. `job_memory` (megabytes): the limit of a process job. `metrics_port`, `health_port`: where
    the supervisor answers Prometheus and probes, at the address `listen` (None: not at all; 0: a free port).

    Raises:
        UsageError: a value that cannot be used.

    """

    database_url: str
    queues: tuple[QueueSlots, ...] = (QueueSlots("default"),)
    imports: tuple[str, ...] = ()
    processes: int = 1
    drain: bool = False
    grace: float = DEFAULT_GRACE
    heartbeat: float = DEFAULT_HEARTBEAT
    rescue_after: float = DEFAULT_RESCUE_AFTER
    log_level: str = "info"
    log_format: str = "auto"
    schema: str = "pgjobs"
    allow: tuple[str, ...] | None = None
    payload: str = "any"
    max_jobs: int | None = None
    max_memory: int | None = None
    job_memory: int | None = None
    patterns: tuple[QueueSlots, ...] = ()
    hooks: tuple[str, ...] = ()
    metrics_port: int | None = None
    health_port: int | None = None
    listen: str = DEFAULT_LISTEN

    def __post_init__(self) -> None:
        if not (self.queues or self.patterns):
            raise UsageError("a worker needs at least one queue: -q NAME:CONCURRENCY.")
        names = [queue.name for queue in (*self.queues, *self.patterns)]
        if len(set(names)) < len(names):
            raise UsageError(f"a queue is named twice: {', '.join(names)}.")
        for option, modules in (("--hooks", self.hooks), ("--import", self.imports)):
            for module in modules:
                _check_module(module, option)
        if not 1 <= self.processes <= 256:
            raise UsageError(f"processes is {self.processes}: give 1 to 256.")
        if not (0 <= self.grace <= MAX_SECONDS and 0 < self.heartbeat <= MAX_SECONDS):
            raise UsageError("grace must be 0 or more seconds, heartbeat more than 0, and both at most a week.")
        if not 0 < self.rescue_after <= MAX_SECONDS:
            raise UsageError(f"rescue-after is {self.rescue_after:g} s: give more than 0, and at most a week.")
        for name in ("max_jobs", "max_memory", "job_memory"):
            value = getattr(self, name)
            if value is not None and not MINIMUMS[name] <= value <= 2**40:
                raise UsageError(f"{name.replace('_', '-')} is {value}: give {MINIMUMS[name]} or more.")
        if self.rescue_after < 2 * self.heartbeat:
            raise UsageError(
                f"rescue-after is {self.rescue_after:g} s and heartbeat {self.heartbeat:g} s: a worker may miss one, "
                "so give at least twice the heartbeat."
            )

    def slots(self) -> int:
        """Return how many slots a process has, with those for queues that are found later."""
        return sum(queue.concurrency for queue in self.queues) + self.found_slots()

    def found_slots(self) -> int:
        """Return how many slots there are for queues that patterns match."""
        widest = max((pattern.concurrency for pattern in self.patterns), default=0)
        return min(MAX_FOUND_QUEUES * widest, MAX_SLOTS)

    def slots_of(self, name: str) -> QueueSlots | None:
        """Return a queue with its slots: its own, or those of the first pattern that matches; None: it is not served.

        A pattern stands for no name that `-q` refuses: rows that SQL wrote may have one, and fail no worker.

        >>> config = WorkerConfig("", queues=(QueueSlots("mail", 20),), patterns=(QueueSlots("*", 4),))
        >>> [config.slots_of(name).concurrency for name in ("mail", "reports")]
        [20, 4]

        """
        own = next((queue for queue in self.queues if queue.name == name), None)
        pattern = next((pattern for pattern in self.patterns if pattern.matches(name)), None)
        if own is not None or pattern is None:
            return own
        try:
            return QueueSlots(name, pattern.concurrency)
        except UsageError:
            return None

    def shown_queues(self) -> list[str]:
        """Return its queues and patterns as they are given on the command line."""
        return [f"{queue.name}:{queue.concurrency}" for queue in (*self.queues, *self.patterns)]

    def to_json(self) -> str:
        """Return the JSON for a worker process."""
        return json.dumps(asdict(self))

    def role(self, app: str | None) -> str:
        """Name what its workers import: the same for all supervisors that declare the same; "" for none."""
        return json.dumps([app, *sorted(self.imports)]) if self.imports else ""

    def modules(self) -> tuple[str, ...]:
        """Return what its processes import, in that order: hooks have to be there before what they are for."""
        return tuple(dict.fromkeys((*self.hooks, *self.imports)))

    def settings(self) -> dict[str, Any]:
        """Return the settings of the processes in which jobs run."""
        return {name: getattr(self, name) for name in ("schema", "database_url", "allow", "payload")}

    def for_child(self) -> dict[str, Any]:
        """Return what a child process of a worker is told at its start."""
        return {
            "imports": self.modules(),
            "log_level": self.log_level,
            "log_format": self.log_format,
            "settings": self.settings(),
            "memory": self.job_memory,
        }

    @classmethod
    def from_json(cls, text: str) -> WorkerConfig:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        for name in ("queues", "patterns"):
            values[name] = tuple(QueueSlots(**queue) for queue in values[name])
        for name in ("imports", "hooks"):
            values[name] = tuple(values[name])
        values["allow"] = None if values["allow"] is None else tuple(values["allow"])
        return cls(**values)


def parse_queues(texts: Iterable[str]) -> tuple[tuple[QueueSlots, ...], tuple[QueueSlots, ...]]:
    """Read queues and patterns, several of them also in one text with commas. The queue `default` is found as others.

    >>> parse_queues(["mail:20,default", "*:4"])[1]
    (QueueSlots(name='*', concurrency=4),)

    Raises:
        UsageError: one of them is neither `NAME` nor `NAME:CONCURRENCY`.

    """
    parts = [part.strip() for text in texts for part in text.split(",")]
    read = [parse_queue(part) for part in parts if part]
    patterns = tuple(queue for queue in read if queue.is_pattern)
    queues = [queue for queue in read if not queue.is_pattern]
    if DEFAULT_QUEUE not in {queue.name for queue in queues}:  # it may have neither jobs nor settings yet
        queues += [QueueSlots(DEFAULT_QUEUE, p.concurrency) for p in patterns if p.matches(DEFAULT_QUEUE)][:1]
    return tuple(queues), patterns


def parse_queue(text: str) -> QueueSlots:
    """Read `NAME` or `NAME:CONCURRENCY`.

    Raises:
        UsageError: it is neither, or it is the next option, because the name was forgotten.

    """
    if text.startswith("-"):
        raise UsageError(
            f"queue {shorten_repr(text)}: this looks like an option. Give NAME or NAME:CONCURRENCY before it."
        )
    name, colon, number = text.rpartition(":")
    if not colon:
        return QueueSlots(text)
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise UsageError(f"queue {shorten_repr(text)}: give NAME:CONCURRENCY, such as mail:20.")
    return QueueSlots(name, int(number))


def _check_module(name: str, option: str) -> None:
    """Refuse what cannot be the name of a module: a file, or a module with a function.

    Raises:
        UsageError: it is not one.

    """
    module = name.partition(":")[0].removesuffix(".py").removeprefix("./").replace("/", ".")
    if name == module and all(part.isidentifier() for part in name.split(".")):
        return
    fits = all(part.isidentifier() for part in module.split("."))
    way_out = f"{option} {module}" if fits else f"such as {option} shop.tasks"
    raise UsageError(f"{option} {shorten_repr(name)}: give the name of a module, {way_out}.")
