"""What others may have done to the tables: moves, triggers, row level security, publications, a full NOTIFY queue."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs.core.text import listed
from pgjobs.diagnose.doctor.installation import Installation
from pgjobs.diagnose.finding import Finding

NOTIFY_USAGE = 0.25  # of the queue; from a half on nothing rings, see the function notify_queue_has_room


def ids(installation: Installation) -> Iterator[Finding]:
    """Check whether ids would be given out again."""
    if installation.id_ahead is not None:
        yield Finding(
            "ids_behind",
            f"The sequence of ids is behind the tables, where the largest id is {installation.id_ahead}: ids of older "
            "jobs are given out again. A move or a restore has left the sequence behind.",
            "SELECT pgjobs.advance_ids(). A worker that starts does the same.",
            {"largest": installation.id_ahead},
            level="error",
        )


def triggers(installation: Installation) -> Iterator[Finding]:
    """Look for triggers and rules of others."""
    if installation.foreign_triggers:
        yield Finding(
            "foreign_triggers",
            f"Triggers or rules that are not of pgjobs may change or keep out what is written: "
            f"{listed(installation.foreign_triggers)}. A job that they keep out of the table that it is to move to "
            "stays where it was: it is not claimed, or runs again.",
            "DROP TRIGGER, or make it an AFTER trigger, which keeps nothing out.",
            {"triggers": list(installation.foreign_triggers)},
            level="warning",
        )


def foreign_keys(installation: Installation) -> Iterator[Finding]:
    """Look for foreign keys of others, which keep rows where they are."""
    if installation.foreign_keys:
        yield Finding(
            "foreign_keys",
            f"Foreign keys of others refer to tables of pgjobs: {listed(installation.foreign_keys)}. A job moves from "
            "table to table and is deleted in the end: while a key refers to it, it cannot, and runs again.",
            "ALTER TABLE … DROP CONSTRAINT: keep the job's id without a foreign key.",
            {"keys": list(installation.foreign_keys)},
            level="warning",
        )


def unlogged(installation: Installation) -> Iterator[Finding]:
    """Look for tables that PostgreSQL empties after a crash."""
    if installation.unlogged:
        yield Finding(
            "unlogged",
            f"Tables of pgjobs are UNLOGGED: {listed(installation.unlogged)}. After a crash PostgreSQL empties them, "
            "and a standby does not have their rows: committed jobs are lost.",
            "ALTER TABLE pgjobs.… SET LOGGED, for each.",
            {"tables": list(installation.unlogged)},
            level="warning",
        )


def row_security(installation: Installation) -> Iterator[Finding]:
    """Look for row level security."""
    hidden = installation.hidden
    if hidden or installation.row_security:
        what = (
            "this role may not see all that is there, so the doctor does not either"
            if hidden
            else "a worker whose role does not own the tables is refused, unless a policy shows it everything"
        )
        yield Finding(
            "row_security",
            f"Row level security is on for {listed(hidden or installation.row_security)}: {what}.",
            "ALTER TABLE … DISABLE ROW LEVEL SECURITY, or let the role of the workers bypass it (BYPASSRLS).",
            {"tables": list(hidden or installation.row_security)},
            level="error" if hidden else "warning",
        )


def publications(installation: Installation) -> Iterator[Finding]:
    """Look for published tables in which PostgreSQL refuses changes."""
    if installation.without_identity:
        yield Finding(
            "no_replica_identity",
            f"A publication contains tables without a replica identity: PostgreSQL refuses UPDATE and DELETE in "
            f"{listed(installation.without_identity)}.",
            "ALTER TABLE pgjobs.… REPLICA IDENTITY FULL, for each; or take them out of the publication.",
            {"tables": list(installation.without_identity)},
            level="error",
        )


def bell(installation: Installation) -> Iterator[Finding]:
    """Check whether jobs can be announced."""
    if installation.notify_usage >= NOTIFY_USAGE:
        yield Finding(
            "notify_queue",
            f"PostgreSQL's NOTIFY queue is {installation.notify_usage:.0%} full: a session that listens has had a "
            "transaction open for long. From 50% on no job is announced, and idle workers find it a second later.",
            "End that transaction: the oldest ones in pg_stat_activity with state 'idle in transaction'.",
            {"usage": installation.notify_usage},
            level="warning",
        )
    if not installation.bell_is_there:
        yield Finding(
            "no_doorbell",
            "The triggers or functions that announce jobs are gone or disabled: idle workers find jobs by polling, up "
            "to a second later.",
            "ALTER TABLE pgjobs.jobs_live ENABLE TRIGGER jobs_ring_doorbell, and the same for jobs_waiting; or restore "
            "the schema from a dump.",
            level="note",
        )
