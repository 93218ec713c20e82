"""All that the doctor looks at, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgjobs.diagnose.doctor import failures as failures
from pgjobs.diagnose.doctor import server, surroundings, tables, workers
from pgjobs.diagnose.doctor import signatures as signatures
from pgjobs.diagnose.doctor import stale as stale
from pgjobs.diagnose.doctor.installation import Installation
from pgjobs.diagnose.finding import LEVELS, Diagnosis, Finding

Check = Callable[[Installation], Iterator[Finding]]


def uncounted(installation: Installation) -> Iterator[Finding]:
    """Check whether everything was read."""
    if not installation.counted:
        yield Finding(
            "not_counted",
            "Reading the tables of jobs took too long, so that lost jobs, dependencies, signatures and unused "
            "settings were not checked.",
            "Look at the findings about dead rows and snapshots, and ask again.",
            level="note",
        )


CHECKS: dict[str, Check] = {
    "schema": tables.revision,
    "PostgreSQL's version": server.version,
    "read-only": server.replica,
    "durability": server.durability,
    "activity": server.activity,
    "connections": server.connections,
    "wraparound": server.wraparound,
    "autovacuum": tables.autovacuum,
    "snapshots": tables.snapshots,
    "dead rows": tables.dead_rows,
    "history": tables.history,
    "ids": surroundings.ids,
    "triggers of others": surroundings.triggers,
    "foreign keys": surroundings.foreign_keys,
    "unlogged tables": surroundings.unlogged,
    "row level security": surroundings.row_security,
    "publications": surroundings.publications,
    "doorbell": surroundings.bell,
    "pooler": server.pooler,
    "clocks": server.clocks,
    "silent workers": workers.silent,
    "versions": workers.versions,
    "lost jobs": workers.orphans,
    "queues without workers": workers.unserved,
    "waits in full queues": workers.awaited,
    "broadcasts": workers.broadcasts,
    "pauses": stale.pauses,
    "breakers": stale.breakers,
    "schedules": stale.schedules,
    "retired schedules": stale.retired,
    "unused settings": stale.unused,
    "dependencies": failures.dependencies,
    "workflows": failures.workflows,
    "pipelines": failures.pipelines,
    "fan-ins": failures.fan_ins,
    "dead letters": failures.dead_letters,
    "lost connections": failures.lost_connections,
    "signatures": signatures.signatures,
    "reading": uncounted,
}


def examine(installation: Installation) -> Diagnosis:
    """Return all findings about an installation, the worst first. Without its tables only those are checked."""
    if installation.revision == installation.expected:
        checks = CHECKS
    elif installation.revision is None and installation.hidden:  # which hides the revision too
        checks = {"row level security": surroundings.row_security}
    else:
        checks = {"schema": tables.revision}
    findings = [finding for check in checks.values() for finding in check(installation)]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return Diagnosis(tuple(findings), tuple(checks))
