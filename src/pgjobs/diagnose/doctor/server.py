"""What can be wrong with the server: its version, its settings, its clock, and what stands before it."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs.core.text import duration as span
from pgjobs.core.text import listed
from pgjobs.core.text import plural as count
from pgjobs.diagnose.doctor.finding import Finding
from pgjobs.diagnose.doctor.installation import Installation

CLOCKS_APART = 2.0  # seconds
WRAPAROUND = 1_200_000_000  # transactions: PostgreSQL stops at about 2 billion, and warns late
FULL = 0.9  # of the connections


def version(i: Installation) -> Iterator[Finding]:
    """Look at PostgreSQL's version."""
    if i.server_version // 10000 < i.oldest_server:
        yield Finding(
            "server_version",
            "error",
            f"PostgreSQL {i.server_version // 10000} is older than {i.oldest_server}, the oldest that pgjobs works "
            "with.",
            "Upgrade PostgreSQL.",
            {"version": i.server_version},
        )


def replica(i: Installation) -> Iterator[Finding]:
    """Look whether anything can be written here."""
    if i.replica or i.settings.get("default_transaction_read_only") == "on":
        yield Finding(
            "read_only",
            "error",
            "This server takes no writes: it is a replica, or default_transaction_read_only is on.",
            "Let PGJOBS_DATABASE_URL name the primary (in libpq: target_session_attrs=read-write).",
        )


def durability(i: Installation) -> Iterator[Finding]:
    """Look whether what was committed is there after a crash."""
    for name in ("fsync", "full_page_writes"):
        if i.settings.get(name) == "off":
            yield Finding(
                name,
                "warning",
                f"{name} is off: a crash of the machine can lose committed jobs, and the whole database with them.",
                f"Set {name} = on, unless all of it can be thrown away.",
            )
    if i.settings.get("synchronous_commit") == "off":
        yield Finding(
            "synchronous_commit",
            "warning",
            "synchronous_commit is off: jobs that were committed in the last moment before a crash are lost, and jobs "
            "that had completed run again.",
            "Set synchronous_commit = on. Workers turn it off for claims by themselves, where that is safe.",
        )


def isolation(i: Installation) -> Iterator[Finding]:
    """Look at the isolation level that connections begin with."""
    level = i.settings.get("default_transaction_isolation", "read committed")
    if level not in ("read committed", "read uncommitted"):
        yield Finding(
            "isolation",
            "warning",
            f"default_transaction_isolation is {level}: claims and acknowledgements of several workers fail on each "
            "other, and are done again and again.",
            "Set default_transaction_isolation = 'read committed' for the role of the workers (ALTER ROLE … SET …).",
        )


def activity(i: Installation) -> Iterator[Finding]:
    """Look whether PostgreSQL tells who does what."""
    if i.settings.get("track_activities") == "off":
        yield Finding(
            "track_activities",
            "note",
            "track_activities is off: `pgjobs why` can not say for how long a transaction has been open, nor what it "
            "does.",
            "Set track_activities = on.",
        )


def connections(i: Installation) -> Iterator[Finding]:
    """Look whether there are connections left."""
    most = int(i.settings.get("max_connections", 0))
    if most and i.connections >= FULL * most:
        yield Finding(
            "connections",
            "warning",
            f"{i.connections:,} of {most:,} connections are in use: workers that come back may find none.",
            "Raise max_connections, put a pooler before the application, or start fewer worker processes.",
            {"connections": i.connections, "max_connections": most},
        )


def wraparound(i: Installation) -> Iterator[Finding]:
    """Look how old the oldest transaction id is that VACUUM has not frozen."""
    if i.frozen_age >= WRAPAROUND:
        yield Finding(
            "wraparound",
            "error",
            f"The oldest row of this database is {i.frozen_age:,} transactions old: at about 2,000,000,000 PostgreSQL "
            "takes no more writes.",
            "End what holds a snapshot (see below), then run VACUUM (FREEZE) in this database.",
            {"age": i.frozen_age},
        )


def pooler(i: Installation) -> Iterator[Finding]:
    """Look whether a connection pooler stands between."""
    pooled = [worker for worker in i.workers if worker.pooled]
    if pooled:
        yield Finding(
            "pooler",
            "note",
            f"A connection pooler stands before PostgreSQL for {count(len(pooled), 'worker')}: LISTEN does not work "
            "through it, so idle workers poll ten times a second, and jobs are picked up that much later.",
            "If milliseconds matter, give the workers a database URL that goes past the pooler.",
            {"workers": [worker.id for worker in pooled]},
        )
    elif i.pooled:
        yield Finding(
            "pooler",
            "note",
            "A connection pooler stands between this machine and PostgreSQL; the workers that run do without.",
            "Nothing: commands work through it.",
        )


def clocks(i: Installation) -> Iterator[Finding]:
    """Look whether clocks differ: PostgreSQL's decides, but who computes run_at by another one means another time."""
    off = abs(i.clock_ahead) - i.clock_error
    if off > CLOCKS_APART:
        yield Finding(
            "clock",
            "warning",
            f"The clock of this machine is {span(abs(i.clock_ahead))} {_apart(i.clock_ahead)} PostgreSQL's: a run_at "
            "computed here is off by as much.",
            "Let both machines keep their time (NTP, chrony); or enqueue with delay=, which PostgreSQL adds itself.",
            {"seconds_ahead": i.clock_ahead},
        )
    wrong = [w for w in i.workers if w.clock_ahead is not None and abs(w.clock_ahead) > CLOCKS_APART]
    if wrong:
        shown = listed([f"{w.host} ({span(abs(w.clock_ahead or 0))} {_apart(w.clock_ahead or 0)})" for w in wrong])
        yield Finding(
            "worker_clock",
            "note",
            f"Clocks of workers differ from PostgreSQL's: {shown}.",
            "Let those machines keep their time: run_at computed by their jobs, and times in their logs, are off.",
            {"workers": {w.id: w.clock_ahead for w in wrong}},
        )
    ahead = [worker for worker in i.workers if worker.silent_for < -CLOCKS_APART]
    if ahead:
        yield Finding(
            "clock_back",
            "warning",
            f"Heartbeats are {span(max(-w.silent_for for w in ahead))} in the future: PostgreSQL's clock was set back.",
            "Wait: workers beat on. Until then, nobody takes back the jobs of those that die.",
            {"workers": [worker.id for worker in ahead]},
        )


def _apart(seconds: float) -> str:
    return "ahead of" if seconds > 0 else "behind"
