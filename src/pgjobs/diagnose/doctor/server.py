"""What can be wrong with the server: its version, its settings, its clock, and a pooler in front of it."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs.core.text import duration, listed, plural
from pgjobs.diagnose.doctor.installation import Installation
from pgjobs.diagnose.finding import Finding

CLOCKS_APART = 2.0  # seconds
WRAPAROUND = 1_200_000_000  # transactions: PostgreSQL stops at about 2 billion, and warns late
FULL = 0.9  # of the connections


def version(installation: Installation) -> Iterator[Finding]:
    """Look at PostgreSQL's version."""
    if installation.server_version // 10000 < installation.oldest_server:
        yield Finding(
            "server_version",
            f"PostgreSQL {installation.server_version // 10000} is older than {installation.oldest_server}, the "
            "oldest that pgjobs works with.",
            "Upgrade PostgreSQL.",
            {"version": installation.server_version},
            level="error",
        )


def replica(installation: Installation) -> Iterator[Finding]:
    """Check whether anything can be written here."""
    if installation.replica:
        yield Finding(
            "read_only",
            "This server takes no writes: it is a replica.",
            "Let PGJOBS_DATABASE_URL name the primary (in libpq: target_session_attrs=read-write).",
            level="error",
        )
    elif installation.settings.get("default_transaction_read_only") == "on":
        yield Finding(
            "read_only_default",
            "default_transaction_read_only is on: workers and commands write all the same, but an application enqueues "
            "only in transactions that it begins as READ WRITE.",
            "Set default_transaction_read_only = off for the roles that enqueue (ALTER ROLE … SET …).",
            level="warning",
        )


def durability(installation: Installation) -> Iterator[Finding]:
    """Check whether what was committed is there after a crash."""
    for name in ("fsync", "full_page_writes"):
        if installation.settings.get(name) == "off":
            yield Finding(
                name,
                f"{name} is off: a crash of the machine can lose committed jobs, and the whole database with them.",
                f"Set {name} = on, unless all of it can be thrown away.",
                level="warning",
            )
    if installation.settings.get("synchronous_commit") == "off":
        yield Finding(
            "synchronous_commit",
            "synchronous_commit is off: jobs that were committed in the last moment before a crash are lost, and jobs "
            "that had completed run again.",
            "Set synchronous_commit = on. Workers turn it off for claims by themselves, where that is safe.",
            level="warning",
        )


def activity(installation: Installation) -> Iterator[Finding]:
    """Check whether PostgreSQL shows what each session does."""
    if installation.settings.get("track_activities") == "off":
        yield Finding(
            "track_activities",
            "track_activities is off: `pgjobs why` cannot tell for how long a transaction has been open, nor what it "
            "does.",
            "Set track_activities = on.",
            level="note",
        )


def connections(installation: Installation) -> Iterator[Finding]:
    """Check whether there are connections left."""
    most = int(installation.settings.get("max_connections", 0))
    if most and installation.connections >= FULL * most:
        yield Finding(
            "connections",
            f"{installation.connections:,} of {most:,} connections are in use: workers that come back may find none.",
            "Raise max_connections, put a pooler before the application, or start fewer worker processes.",
            {"connections": installation.connections, "max_connections": most},
            level="warning",
        )


def wraparound(installation: Installation) -> Iterator[Finding]:
    """Look how old the oldest transaction id is that VACUUM has not frozen."""
    if installation.frozen_age >= WRAPAROUND:
        yield Finding(
            "wraparound",
            f"The oldest row of this database is {installation.frozen_age:,} transactions old: at about 2,000,000,000 "
            "PostgreSQL takes no more writes.",
            "End what holds a snapshot (see below), then run VACUUM (FREEZE) in this database.",
            {"age": installation.frozen_age},
            level="error",
        )


def pooler(installation: Installation) -> Iterator[Finding]:
    """Check for a connection pooler."""
    pooled = [worker for worker in installation.workers if worker.pooled]
    if pooled:
        yield Finding(
            "pooler",
            f"A connection pooler is in front of PostgreSQL for {plural(len(pooled), 'worker')}: LISTEN does not work "
            "through it, so idle workers poll ten times a second, and jobs are picked up that much later.",
            "If milliseconds matter, give the workers a database URL that goes past the pooler.",
            {"workers": [worker.id for worker in pooled]},
            level="note",
        )
    elif installation.pooled:
        yield Finding(
            "pooler",
            "This machine reaches PostgreSQL through a connection pooler; the running workers do not.",
            "Nothing: commands work through it.",
            level="note",
        )


def clocks(installation: Installation) -> Iterator[Finding]:
    """Check whether clocks differ. PostgreSQL's decides, so a run_at of another clock is off by the difference."""
    off = abs(installation.clock_ahead) - installation.clock_error
    if off > CLOCKS_APART:
        yield Finding(
            "clock",
            f"The clock of this machine is {duration(abs(installation.clock_ahead))} "
            f"{_apart(installation.clock_ahead)} PostgreSQL's: a run_at computed here is off by as much.",
            "Let both machines keep their time (NTP, chrony); or enqueue with delay=, which PostgreSQL adds itself.",
            {"seconds_ahead": installation.clock_ahead},
            level="warning",
        )
    wrong = [w for w in installation.workers if w.clock_ahead is not None and abs(w.clock_ahead) > CLOCKS_APART]
    if wrong:
        shown = listed([f"{w.host} ({duration(abs(w.clock_ahead or 0))} {_apart(w.clock_ahead or 0)})" for w in wrong])
        yield Finding(
            "worker_clock",
            f"Clocks of workers differ from PostgreSQL's: {shown}.",
            "Let those machines keep their time: run_at computed by their jobs, and times in their logs, are off.",
            {"workers": {w.id: w.clock_ahead for w in wrong}},
            level="note",
        )
    ahead = [worker for worker in installation.workers if worker.silent_for < -CLOCKS_APART]
    if ahead:
        yield Finding(
            "clock_back",
            f"Heartbeats are {duration(max(-w.silent_for for w in ahead))} in the future: PostgreSQL's clock was set "
            "back.",
            "Wait: workers keep sending heartbeats. Until then, no worker takes back the jobs of those that die.",
            {"workers": [worker.id for worker in ahead]},
            level="warning",
        )


def _apart(seconds: float) -> str:
    return "ahead of" if seconds > 0 else "behind"
