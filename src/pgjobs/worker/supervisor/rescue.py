"""Take back the jobs of workers that are gone: by their supervisor at once, by anybody else when they fall silent.

Rescue acknowledges on behalf of the dead worker, through the same statements and behind the same fence; so whatever it
decides, an answer of a worker that comes back after all matches nothing.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgjobs.db.statements import statement
from pgjobs.jobs.outcome import RELEASED, Failed, Outcome
from pgjobs.jobs.retry import after_loss, since_replay
from pgjobs.worker.runtime.registration import terminate_backends
from pgjobs.worker.runtime.settle import Claim, Settlement, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    import psycopg

log = logging.getLogger("pgjobs.rescue")
JOBS_PER_TRANSACTION = 5_000  # jobs a transaction


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """What a supervisor knows of a worker process that has ended.

    `started`: the claims that its slots ran last. `how`: how it died (None: it was asked to end). `stuck`: the
    claims that did not stop, and what to say of them. `report`: its memory and its last stack, if they are known.
    """

    worker_id: int
    how: str | None = None
    started: frozenset[Claim] = frozenset()
    stuck: dict[Claim, str] = field(default_factory=dict)
    report: str | None = None


def outcome_for(death: WorkerExit, claim: Claim, budget: tuple[int, int]) -> Outcome:
    """Decide what follows for a job that the dead worker left in `running`.

    What had not started, or was interrupted by a shutdown, does not count. What ran when the process died may have
    killed it: its next attempt gets a process of its own, so that it can not take others along again.
    `budget`: the attempt and the most there may be, since the last replay.
    """
    if claim in death.stuck:
        return after_loss(death.stuck[claim], *budget)
    if death.how is None or claim not in death.started:
        return RELEASED
    error = f"its worker process died while it ran: {death.how}"
    return after_loss(error, *budget, isolate=True, traceback=death.report)


def settle_dead_worker(connection: psycopg.Connection, death: WorkerExit) -> int:
    """Settle everything that a dead worker left, remove its row, and give the number of jobs. Safe to repeat."""
    terminate_backends(connection, death.worker_id)
    total = 0
    while True:
        with connection.transaction(), connection.cursor() as cursor:
            lost = cursor.execute(
                statement("lost_jobs"), {"worker_ids": [death.worker_id], "limit": JOBS_PER_TRANSACTION}
            ).fetchall()
            settlements: list[Settlement] = []
            for job, number, attempt, most, prior, _ in lost:
                claim = Claim(job, number)
                settlements.append((claim, outcome_for(death, claim, since_replay(attempt, most, prior))))
            left = settle(cursor, death.worker_id, socket.gethostname(), settlements)
            if len(lost) < JOBS_PER_TRANSACTION:
                cursor.execute(statement("remove_worker"), {"worker_ids": [death.worker_id]})
        total += len(lost)
        _report(death.worker_id, death.how or "it was stopped", settlements)
        if len(lost) < JOBS_PER_TRANSACTION or len(left) == len(lost):
            return total


def rescue_silent_workers(
    connection: psycopg.Connection,
    rescue_after: float,
    *,
    suspect_after: float | None = None,
    choose: Callable[[dict[int, datetime]], Collection[int]] = lambda silent: silent,
) -> int:
    """Take back the jobs of workers that were not heard from for so many seconds, and give the number of jobs.

    Every worker may try at once: the rows are locked, and who comes second finds nothing. `choose` is given when those
    were last heard that have been silent for `suspect_after` seconds, and gives those that are dead.
    """
    timeout = rescue_after if suspect_after is None else suspect_after
    with connection.transaction(), connection.cursor() as cursor:
        silent = cursor.execute(statement("silent_workers"), {"timeout": timeout}).fetchall()
        dead = choose({worker: heard for worker, _, _, heard in silent})
        reasons = {
            worker: f"its worker {worker} (process {pid} on {host}) was not heard from for {rescue_after:g} s"
            for worker, host, pid, _ in silent
            if worker in dead
        }
        return _take_back(cursor, reasons)


def rescue_orphans(connection: psycopg.Connection) -> int:
    """Take back running jobs whose worker has no row at all, and give their number. It scans the live table."""
    with connection.transaction(), connection.cursor() as cursor:
        orphaned = [row[0] for row in cursor.execute(statement("orphan_workers")).fetchall() if row[0] is not None]
        return _take_back(cursor, {worker: f"its worker {worker} is not known any more" for worker in orphaned})


def _take_back(cursor: psycopg.Cursor, reasons: dict[int, str]) -> int:
    if not reasons:
        return 0
    for worker_id in reasons:
        terminate_backends(cursor.connection, worker_id)
    lost = cursor.execute(statement("lost_jobs"), {"worker_ids": list(reasons), "limit": None}).fetchall()
    by_worker: dict[int, list[Settlement]] = defaultdict(list)
    for job, number, attempt, most, prior, worker_id in lost:
        outcome = after_loss(reasons[worker_id], *since_replay(attempt, most, prior), delay=0.0)
        by_worker[worker_id].append((Claim(job, number), outcome))
    for worker_id, settlements in by_worker.items():
        settle(cursor, worker_id, socket.gethostname(), settlements)
    cursor.execute(statement("remove_worker"), {"worker_ids": list(reasons)})
    for worker_id, reason in reasons.items():
        _report(worker_id, reason, by_worker.get(worker_id, []))
    return len(lost)


def _report(worker_id: int, reason: str, settlements: list[Settlement]) -> None:
    if not settlements:
        return
    counts = Counter(type(outcome).__name__.lower() for _, outcome in settlements)
    log.warning(
        "worker %d: %s; took back %s", worker_id, reason, ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
    )
    for claim, outcome in settlements:
        if isinstance(outcome, Failed):
            log.error("failed, now a dead letter: %s", outcome.error, extra={"job_id": claim.id})
