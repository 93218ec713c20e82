"""What can be wrong with the tables: their revision, dead rows, who keeps them, and the days of history."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs.core.text import duration as span
from pgjobs.core.text import listed
from pgjobs.core.text import plural as count
from pgjobs.diagnose.doctor.finding import Finding
from pgjobs.diagnose.doctor.installation import Installation

OLD_SNAPSHOT = 300.0  # seconds: a report, a dump; what is longer than that makes claims wade through dead rows
MANY_TRANSACTIONS = 100_000  # of slots and where nobody tells the time
MANY_DEAD_ROWS = 50_000
LATE_RETENTION = 2 * 3600.0  # seconds since anybody last looked


def revision(i: Installation) -> Iterator[Finding]:
    """Look whether the tables are those that this version works with."""
    if i.revision == i.expected:
        return
    if i.revision is None:
        what, step = (
            "There are no tables of pgjobs here.",
            "Run `pgjobs migrate`, or name the right database and schema.",
        )
    elif i.revision < i.expected:
        what = f"The tables are at revision {i.revision}, and this pgjobs needs {i.expected}."
        step = "Run `pgjobs migrate`."
    else:
        what = f"The tables are at revision {i.revision}, and this pgjobs knows them up to {i.expected}."
        step = "Upgrade pgjobs-runner here."
    yield Finding("schema", "error", what, step, {"revision": i.revision, "expected": i.expected})


def snapshots(i: Installation) -> Iterator[Finding]:
    """Look who keeps VACUUM from taking dead rows away."""
    for holder in i.snapshots:
        many = (holder.transactions or 0) >= MANY_TRANSACTIONS
        if not many and (holder.seconds is None or holder.seconds < OLD_SNAPSHOT):
            continue
        forgotten = " Against forgotten ones: idle_in_transaction_session_timeout." if holder.kind == "session" else ""
        parts = [f"for {span(holder.seconds)}"] if holder.seconds is not None else []
        parts += [f"over {count(holder.transactions, 'transaction')}"] if holder.transactions else []
        yield Finding(
            "held_snapshot",
            "warning",
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
        )


def dead_rows(i: Installation) -> Iterator[Finding]:
    """Look whether dead rows pile up."""
    for table in i.tables:
        if table.dead < MANY_DEAD_ROWS or table.dead < table.live:
            continue
        last = f"{span(table.vacuumed)} ago" if table.vacuumed is not None else "never, as far as is known"
        yield Finding(
            "dead_rows",
            "warning",
            f"{table.name} has {count(table.dead, 'dead row')} beside {table.live:,} live ones, and was vacuumed "
            f"{last}.",
            f"If somebody holds a snapshot (see there), end that first; then VACUUM pgjobs.{table.name}.",
            {"table": table.name, "dead": table.dead, "live": table.live},
        )


def autovacuum(i: Installation) -> Iterator[Finding]:
    """Look whether autovacuum is on."""
    if i.settings.get("autovacuum") == "off" or i.settings.get("track_counts") == "off":
        yield Finding(
            "autovacuum",
            "error",
            "Autovacuum is off, for all tables: every job leaves dead rows, and claims get slower until they stand "
            "still.",
            "Set autovacuum = on and track_counts = on.",
        )
    for table in i.tables:
        if table.off:
            yield Finding(
                "autovacuum_of_table",
                "error" if table.name.startswith("jobs") else "warning",
                f"Autovacuum is switched off for {table.name}: every job leaves dead rows there.",
                f"ALTER TABLE pgjobs.{table.name} RESET (autovacuum_enabled).",
                {"table": table.name},
            )


def history(i: Installation) -> Iterator[Finding]:
    """Look whether the days of history are there, and whether retention is done."""
    if i.missing_days:
        step = (
            "Look into the logs of the workers: one of them makes the days, every minute."
            if i.heard()
            else ("Start a worker: it makes them.")
        )
        yield Finding(
            "missing_days",
            "warning",
            f"History has no partition for {listed(i.missing_days)}: what finishes then goes to the default partition, "
            "and is removed row by row.",
            step,
            {"days": list(i.missing_days)},
        )
    if i.in_default:
        yield Finding(
            "history_default",
            "note",
            f"{count(i.in_default, 'finished job', cap=1000)} {'lies' if i.in_default == 1 else 'lie'} in "
            "jobs_history_default, because its day was not there.",
            "Nothing: workers move or remove them; `pgjobs history list` shows how much it is.",
            {"jobs": i.in_default},
        )
    if i.retention_age is not None and i.retention_age > LATE_RETENTION and i.heard():
        yield Finding(
            "retention",
            "warning",
            f"Nobody has looked for what is older than is to be kept for {span(i.retention_age)}, although workers "
            "run.",
            "Look into their logs: an error of retention is written there.",
            {"seconds": i.retention_age},
        )
