"""What is wrong with an installation: one statement gathers it, pure functions say what each thing means."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pgjobs.core.config import settings
from pgjobs.core.version import MIN_SERVER_VERSION, VERSION
from pgjobs.db.adapters.operations import operation
from pgjobs.db.connection import behind_pooler
from pgjobs.db.plan_settings import IN_ORDER, LOOK_UPS
from pgjobs.db.query import fetch_dicts, local_settings, run_within
from pgjobs.db.revision import EXPECTED_REVISION, revision_of
from pgjobs.db.row_security import hidden_tables
from pgjobs.db.stuck_jobs import stuck_jobs
from pgjobs.diagnose.doctor.examine import examine
from pgjobs.diagnose.doctor.installation import Installation, QueueState, read
from pgjobs.diagnose.doctor.workers import DUE_FOR
from pgjobs.diagnose.finding import Diagnosis, Finding
from pgjobs.diagnose.why import why

if TYPE_CHECKING:
    import psycopg

SCAN = 100_000  # rows of a table that are read for what no index finds
ASKED = 50  # jobs of which it is found out what holds them up
# Errors of jobs whose connection to a database was lost: of psycopg, asyncpg, SQLAlchemy and Django.
LOST_CONNECTION = (
    r"^(OperationalError|InterfaceError|PendingRollbackError|AdminShutdown|ConnectionDoesNotExistError)\y.*connect"
)
SCAN_TIMEOUT_MS = 5_000  # milliseconds, before it is done without reading them


@operation
def doctor(conn: psycopg.Connection[Any], *, version: str = VERSION) -> Diagnosis:
    """Check an installation, and return what is wrong with it, the worst first. It reads only.

    `version`: of pgjobs on this machine. The same is `pgjobs doctor`; docs/doctor.md lists all findings.
    """
    return examine(look(conn, version=version))


def look(
    conn: psycopg.Connection[Any],
    *,
    version: str = VERSION,
    scan: int = SCAN,
    timeout_ms: int = SCAN_TIMEOUT_MS,
    asked: int = ASKED,
) -> Installation:
    """Gather what the doctor looks at. `asked`: the jobs of which it is found out at most what holds them up.

    The tables' revision comes first and by itself: if it is another one, the rest may not be there. The clocks come by
    themselves too, because a slow statement would distort them.
    """
    ahead, error = _clock(conn)
    known: dict[str, Any] = {
        "version": version,
        "revision": revision_of(conn),
        "expected": EXPECTED_REVISION,
        "oldest_server": MIN_SERVER_VERSION,
        "clock_ahead": ahead,
        "clock_error": error,
        "pooled": behind_pooler(conn),
        "hidden": tuple(hidden_tables(conn)),
        "has_key": bool(settings().signing_keys),
    }
    if known["revision"] != EXPECTED_REVISION:
        return Installation(server_version=conn.info.server_version, **known)
    rows = run_within(conn, timeout_ms, lambda: fetch_dicts(conn, "doctor", scan=scan, lost=LOST_CONNECTION), IN_ORDER)
    stuck = run_within(conn, timeout_ms, lambda: stuck_jobs(conn, scan=scan), LOOK_UPS)
    known["stuck"] = tuple(stuck or ())
    if rows is not None:
        return _ask_why(conn, read(rows[0], counted=stuck is not None, **known), asked)
    with local_settings(conn, IN_ORDER):
        return _ask_why(
            conn, read(fetch_dicts(conn, "doctor", scan=0, lost=LOST_CONNECTION)[0], counted=False, **known), asked
        )


def _ask_why(conn: psycopg.Connection[Any], installation: Installation, left: int) -> Installation:
    """Find out what holds up jobs that have been due for long: more workers do not help against everything."""
    queues: list[QueueState] = []
    for queue in installation.queues:
        due = list(queue.due)
        for place, job in enumerate(due):
            if job.due_for >= queue.late_after(DUE_FOR) and not queue.paused and left:
                due[place] = replace(job, why=why(conn, job.id))
                left -= 1
        queues.append(replace(queue, due=tuple(due)))
    return replace(installation, queues=tuple(queues))


def _clock(conn: psycopg.Connection[Any]) -> tuple[float, float]:
    """Return by how many seconds our clock is ahead of PostgreSQL's, and the error of that."""
    best = (0.0, float("inf"))
    for _ in range(3):
        began = time.time()
        now = fetch_dicts(conn, "wall_clock")[0]["now"].timestamp()
        ended = time.time()
        best = min(best, ((began + ended) / 2 - now, (ended - began) / 2), key=lambda pair: pair[1])
    return best


__all__ = ["Diagnosis", "Finding", "Installation", "doctor", "examine", "look"]
