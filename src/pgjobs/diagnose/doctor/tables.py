"""What can be wrong with the tables: their revision, dead rows, who keeps them, and the days of history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from pgjobs.core.text import duration, listed, plural
from pgjobs.diagnose.doctor.installation import DetachedDay, Installation
from pgjobs.diagnose.finding import Finding

OLD_SNAPSHOT = 300.0  # seconds: a report, a dump; what is longer than that makes claims wade through dead rows
MANY_TRANSACTIONS = 100_000  # of slots, and where the time is not known
MANY_DEAD_ROWS = 50_000
LATE_RETENTION = 2 * 3600.0  # seconds since a worker last looked


def revision(installation: Installation) -> Iterator[Finding]:
    """Check whether the tables are those that this version works with."""
    if installation.revision == installation.expected:
        return
    if installation.revision is None:
        what, step = (
            "There are no tables of pgjobs here.",
            "Run `pgjobs migrate`, or name the right database and schema.",
        )
    elif installation.revision < installation.expected:
        what = f"The tables are at revision {installation.revision}, and this pgjobs needs {installation.expected}."
        step = "Run `pgjobs migrate`."
    else:
        what = (
            f"The tables are at revision {installation.revision}, and this pgjobs knows them up to "
            f"{installation.expected}."
        )
        step = "Upgrade pgjobs-runner here."
    yield Finding(
        "schema", what, step, {"revision": installation.revision, "expected": installation.expected}, level="error"
    )


def snapshots(installation: Installation) -> Iterator[Finding]:
    """Look for snapshots that keep VACUUM from removing dead rows."""
    for holder in installation.snapshots:
        many = (holder.transactions or 0) >= MANY_TRANSACTIONS
        if not many and (holder.seconds is None or holder.seconds < OLD_SNAPSHOT):
            continue
        forgotten = " Against forgotten ones: idle_in_transaction_session_timeout." if holder.kind == "session" else ""
        parts = [f"for {duration(holder.seconds)}"] if holder.seconds is not None else []
        parts += [f"over {plural(holder.transactions, 'transaction')}"] if holder.transactions else []
        yield Finding(
            "held_snapshot",
            f"{str(holder)[0].upper()}{str(holder)[1:]} has kept VACUUM from removing dead rows {', '.join(parts)}: "
            "all queries of the queues get slower.",
            f"End it, if it may end: {holder.end}.{forgotten}",
            {
                "kind": holder.kind,
                "pid": holder.pid,
                "name": holder.name,
                "seconds": holder.seconds,
                "transactions": holder.transactions,
            },
            level="warning",
        )


def dead_rows(installation: Installation) -> Iterator[Finding]:
    """Check whether dead rows pile up."""
    for table in installation.tables:
        if table.dead < MANY_DEAD_ROWS or table.dead < table.live:
            continue
        last = f"{duration(table.vacuumed)} ago" if table.vacuumed is not None else "never, as far as is known"
        yield Finding(
            "dead_rows",
            f"{table.name} has {plural(table.dead, 'dead row')} beside {table.live:,} live ones, and was vacuumed "
            f"{last}.",
            f"If a snapshot is held (see there), end that first; then VACUUM pgjobs.{table.name}.",
            {"table": table.name, "dead": table.dead, "live": table.live},
            level="warning",
        )


def autovacuum(installation: Installation) -> Iterator[Finding]:
    """Check whether autovacuum is on."""
    if installation.settings.get("autovacuum") == "off" or installation.settings.get("track_counts") == "off":
        yield Finding(
            "autovacuum",
            "Autovacuum is off, for all tables: every job leaves dead rows, and claims get slower until they stand "
            "still.",
            "Set autovacuum = on and track_counts = on.",
            level="error",
        )
    for table in installation.tables:
        if table.off:
            yield Finding(
                "autovacuum_of_table",
                f"Autovacuum is switched off for {table.name}: every job leaves dead rows there.",
                f"ALTER TABLE pgjobs.{table.name} RESET (autovacuum_enabled).",
                {"table": table.name},
                level="error" if table.name.startswith("jobs") else "warning",
            )


def history(installation: Installation) -> Iterator[Finding]:
    """Check whether the days of history are there, and whether retention is done."""
    if installation.missing_days:
        step = (
            "Look into the logs of the workers: one of them makes the days, every minute."
            if installation.heard()
            else ("Start a worker: it makes them.")
        )
        yield Finding(
            "missing_days",
            f"History has no partition for {listed(installation.missing_days)}: what finishes then goes to the "
            "default partition, and is removed row by row.",
            step,
            {"days": list(installation.missing_days)},
            level="warning",
        )
    if installation.detached:
        yield _detached(installation.detached)
    if installation.in_default:
        yield Finding(
            "history_default",
            f"{plural(installation.in_default, 'finished job', cap=1000)} "
            f"{'is' if installation.in_default == 1 else 'are'} in jobs_history_default, because its day was not "
            "there.",
            "Nothing: workers move or remove them; `pgjobs history list` shows how much it is.",
            {"jobs": installation.in_default},
            level="note",
        )
    if installation.retention_age is not None and installation.retention_age > LATE_RETENTION and installation.heard():
        yield Finding(
            "retention",
            f"No worker has looked for jobs past retention for {duration(installation.retention_age)}, although "
            "workers run.",
            "Look into their logs: an error of retention is written there.",
            {"seconds": installation.retention_age},
            level="warning",
        )


def _detached(days: tuple[DetachedDay, ...]) -> Finding:
    """Return the finding for days that were detached by hand; the step is that of the most recent one."""
    last = days[0]
    coming = any(day.coming for day in days)
    verb, whose = ("is", "its") if len(days) == 1 else ("are", "their")
    what = (
        f"{listed([day.name for day in days], 3)} {verb} detached from history: no command finds {whose} jobs, and no "
        "retention drops them."
    )
    if coming:
        what += " What finishes on that day goes to the default partition, since workers cannot make the day again."
    away = f"keep it elsewhere: ALTER TABLE pgjobs.{last.name} SET SCHEMA …"
    table = f"pgjobs.jobs_history DETACH PARTITION pgjobs.{last.name}"
    if last.pending:
        step = f"ALTER TABLE {table} FINALIZE; then attach it again, or {away}."
    elif bounds := _bounds(last.name):
        attach = f"ALTER TABLE pgjobs.jobs_history ATTACH PARTITION pgjobs.{last.name} FOR VALUES {bounds}"
        step = f"{attach}; or {away}."
    else:
        step = f"{away[0].upper()}{away[1:]}."
    return Finding(
        "detached_days", what, step, {"tables": [day.name for day in days]}, level="warning" if coming else "note"
    )


def _bounds(table: str) -> str | None:
    """Return the bounds of a day's partition, from its name; None if its name has no date.

    >>> _bounds("jobs_history_20261231")
    "FROM ('2026-12-31 00:00+00') TO ('2027-01-01 00:00+00')"

    """
    try:
        day = date.fromisoformat(table.removeprefix("jobs_history_"))
        return f"FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"
    except (ValueError, OverflowError):
        return None
