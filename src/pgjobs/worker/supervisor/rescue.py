"""Take back the jobs of workers that are gone: their supervisor at once, any other one when they fall silent.

A rescue acknowledges on behalf of the dead worker, through the same statements and with the same fence. If the worker
comes back after all, its own acknowledgements match nothing.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple

from pgjobs.db.connection import bounded
from pgjobs.db.statements import statement
from pgjobs.db.workflow_counts import tell_workflows
from pgjobs.db.workflow_ends import end_workflows_later
from pgjobs.flow.batch import BatchSpec
from pgjobs.jobs.outcome import INTERRUPTED, RELEASED, ErrorKind, Failed, Outcome, Released
from pgjobs.jobs.retry import after_loss, since_replay
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.registration import terminate_backends
from pgjobs.worker.runtime.settle import Settlement, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    import psycopg

log = logging.getLogger("pgjobs.rescue")
LOST_PER_TRANSACTION = 5_000  # jobs


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """What a supervisor knows about a worker process that has ended.

    `how`: how it died (None: it was asked to end). `started`: the claims that its slots ran last. `stuck`: the claims
    that did not stop, each with its error message. `report`: its memory and last stack, if they are known.
    """

    worker_id: int
    how: str | None = None
    started: frozenset[Claim] = frozenset()
    stuck: dict[Claim, str] = field(default_factory=dict)
    report: str | None = None


class LostJob(NamedTuple):
    """A job that a dead worker left in `running`, as lost_jobs.sql returns it."""

    id: int
    claim_number: int
    attempt: int
    max_attempts: int
    prior_attempts: int | None
    worker_id: int
    lane: str | None
    started_at: datetime | None
    isolate: bool | None

    @property
    def claim(self) -> Claim:
        """The claim that the worker had."""
        return Claim(self.id, self.claim_number)

    @property
    def budget(self) -> tuple[int, int]:
        """The attempt and the maximum, since the last replay."""
        return since_replay(self.attempt, self.max_attempts, self.prior_attempts)

    @property
    def batch(self) -> tuple[int, str, datetime | None] | None:
        """What it shares with the jobs of its batch: they were claimed together. None: it runs alone."""
        if self.lane is None or self.isolate or BatchSpec.of_lane(self.lane) is None:
            return None
        return self.worker_id, self.lane, self.started_at


def outcomes_for(worker_exit: WorkerExit, lost: Sequence[LostJob]) -> list[Settlement]:
    """Decide the outcomes of the jobs that a dead worker left in `running`.

    A batch that ran is known by one of its jobs. Any of them may have killed the process, so none of them is charged
    an attempt, and each runs alone the next time, in a process of its own.
    """
    ran = worker_exit.started | worker_exit.stuck.keys()
    batches = Counter(job.batch for job in lost if job.batch is not None)
    guilty = {job.batch for job in lost if job.batch is not None and job.claim in ran and batches[job.batch] > 1}
    apart = Released(began=True, isolate=worker_exit.how is not None or bool(worker_exit.stuck))
    return [
        (job.claim, apart if job.batch in guilty else outcome_for(worker_exit, job.claim, job.budget)) for job in lost
    ]


def outcome_for(worker_exit: WorkerExit, claim: Claim, budget: tuple[int, int]) -> Outcome:
    """Decide the outcome of a job that a dead worker left in `running`.

    An attempt that had not started, or that a shutdown interrupted, does not count. A job that ran when the process
    died may have killed it: its next attempt gets a process of its own, so it cannot interrupt other jobs again.
    `budget`: the attempt and the maximum, since the last replay.
    """
    if claim in worker_exit.stuck:
        return after_loss(worker_exit.stuck[claim], *budget, kind=ErrorKind.STUCK)
    if claim not in worker_exit.started:
        return RELEASED
    if worker_exit.how is None:
        return INTERRUPTED
    error = f"its worker process died while it ran: {worker_exit.how}"
    return after_loss(error, *budget, isolate=True, traceback=worker_exit.report)


def settle_dead_worker(connection: psycopg.Connection, worker_exit: WorkerExit) -> int:
    """Settle all jobs of a dead worker, remove its row, and return the number of jobs. Safe to repeat."""
    terminate_backends(connection, [worker_exit.worker_id])
    total = 0
    while True:
        with bounded(connection), connection.cursor() as cursor:
            rows = cursor.execute(
                statement("lost_jobs"), {"worker_ids": [worker_exit.worker_id], "limit": LOST_PER_TRANSACTION}
            ).fetchall()
            lost = list(starmap(LostJob, rows))
            settlements = outcomes_for(worker_exit, lost)
            written: dict[Claim, Outcome] = {}
            steps: set[int] = set()
            host = socket.gethostname()
            settle(cursor, worker_exit.worker_id, host, settlements, written=written, steps=steps, patient=False)
            if len(lost) < LOST_PER_TRANSACTION:
                cursor.execute(statement("remove_worker"), {"worker_ids": [worker_exit.worker_id]})
        end_workflows_later(connection, steps)
        total += len(lost)
        _report(worker_exit.worker_id, worker_exit.how or "it was stopped", written)
        if len(lost) < LOST_PER_TRANSACTION or not written:
            return total


def rescue_silent_workers(
    connection: psycopg.Connection,
    rescue_after: float,
    *,
    silent_after: float | None = None,
    choose: Callable[[dict[int, datetime]], Collection[int]] = lambda silent: silent,
) -> int:
    """Take back the jobs of workers without a heartbeat for `rescue_after` seconds, and return the number of jobs.

    Supervisors may call this concurrently: rows are locked, so only the first caller sees them. `choose` gets the last
    heartbeat of the workers that have been silent for `silent_after` seconds, and returns those that are dead.
    """
    timeout = rescue_after if silent_after is None else silent_after
    with bounded(connection), connection.cursor() as cursor:
        silent = cursor.execute(statement("silent_workers"), {"timeout": timeout}).fetchall()
        dead = choose({worker: heard for worker, _, _, heard in silent})
        reasons = {
            worker: f"its worker {worker} (process {pid} on {host}) was not heard from for {rescue_after:g} s"
            for worker, host, pid, _ in silent
            if worker in dead
        }
        return _rescue_jobs(cursor, reasons)


def rescue_orphans(connection: psycopg.Connection) -> int:
    """Take back running jobs whose worker has no row, and return their number. It scans the live table."""
    with bounded(connection), connection.cursor() as cursor:
        orphaned = [row[0] for row in cursor.execute(statement("orphan_workers")).fetchall() if row[0] is not None]
        return _rescue_jobs(cursor, {worker: f"its worker {worker} is no longer known" for worker in orphaned})


def _rescue_jobs(cursor: psycopg.Cursor, reasons: dict[int, str]) -> int:
    if not reasons:
        return 0
    terminate_backends(cursor.connection, reasons)
    rows = cursor.execute(statement("lost_jobs"), {"worker_ids": list(reasons), "limit": None}).fetchall()
    lost = list(starmap(LostJob, rows))
    by_worker: dict[int, list[Settlement]] = defaultdict(list)
    batches = Counter(job.batch for job in lost if job.batch is not None)
    for job in lost:
        if job.batch is not None and batches[job.batch] > 1:
            outcome: Outcome = Released(began=True, isolate=True)  # as in `outcomes_for`
        else:
            outcome = after_loss(reasons[job.worker_id], *job.budget, delay=0.0)
        by_worker[job.worker_id].append((job.claim, outcome))
    written: dict[int, dict[Claim, Outcome]] = defaultdict(dict)
    host, steps = socket.gethostname(), set[int]()
    for worker_id, settlements in by_worker.items():
        settle(cursor, worker_id, host, settlements, written=written[worker_id], steps=steps, patient=False)
    if steps:
        tell_workflows(cursor, steps)
    cursor.execute(statement("remove_worker"), {"worker_ids": list(reasons)})
    for worker_id, reason in reasons.items():
        _report(worker_id, reason, written[worker_id])
    return len(lost)


def _report(worker_id: int, reason: str, written: dict[Claim, Outcome]) -> None:
    if not written:
        return
    counts = Counter(type(outcome).__name__.lower() for outcome in written.values())
    log.warning(
        "worker %d: %s; took back %s", worker_id, reason, ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
    )
    for claim, outcome in written.items():
        if isinstance(outcome, Failed):
            log.error("failed, now a dead letter: %s", outcome.error, extra={"job_id": claim.job_id})
