"""Claims of jobs that wait for their turn in a lane. They run in a transaction that holds the lock of the lanes."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from pgjobs.db.dependencies import EndedJob, release_dependents
from pgjobs.db.encoding import byte_order, encoding_of
from pgjobs.db.statements import statement
from pgjobs.jobs.outcome import Cancelled
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.claim.lane_rotation import LaneRotation
from pgjobs.worker.local.claimed_job import CONTROLLED_COLUMNS, ClaimedJob, check_columns
from pgjobs.worker.runtime.settle import array

log = logging.getLogger("pgjobs.producer")
EXPIRED = "expired before its turn came"
_ORDER = attrgetter("priority", "run_at", "id")


class LaneClaim(NamedTuple):
    """Jobs that got their turn. `late`: those of them that have expired; `ended_at`: where the walk stopped early."""

    jobs: list[ClaimedJob]
    late: list[ClaimedJob]
    ended_at: tuple[int, str] | None


class LaneClaims:
    """Claims the waiting jobs of one queue whose turn it is. For one thread."""

    def __init__(self, queue: str, intake: Intake, worker_id: int) -> None:
        self._queue = queue
        self._intake = intake
        self._worker_id = worker_id
        self.rotation = LaneRotation()
        self._columns_checked = False  # on this connection

    def reconnected(self) -> None:
        """Discard what another connection, or another server, has said."""
        self.rotation.next_check = 0.0
        self._columns_checked = False

    def claim_rows(
        self, cursor: Any, wanted: int, worst: int, clock: datetime, counted_queue: str | None = None
    ) -> LaneClaim:
        """Claim up to `wanted` jobs of priorities up to `worst`. `counted_queue`: the queue, if it has a limit."""
        if not self._columns_checked:
            self.rotation.order = byte_order(encoding_of(cursor.connection))
        plan = self.rotation.plan_claim(wanted, worst, clock)
        cursor.execute(statement("release_due_waiting"), {"queue": self._queue})
        self._expire(cursor)
        cursor.execute(
            statement("claim_waiting"),
            {
                "priorities": array(lane_range.priority for lane_range in plan.ranges),
                "sinces": [lane_range.since for lane_range in plan.ranges],
                "untils": [lane_range.until for lane_range in plan.ranges],
                "dues": [lane_range.due for lane_range in plan.ranges],
                "quantum": plan.quantum,
                "most": plan.most,
                "queue": self._queue,
                "demand": wanted,
                "worker_id": self._worker_id,
                "counted_queue": counted_queue,
            },
        )
        if not self._columns_checked:
            check_columns(cursor.description, CONTROLLED_COLUMNS)
            self._columns_checked = True
        rows = cursor.fetchall()
        jobs = self._intake.rows_to_jobs(row[:-1] for row in rows)
        late = [job for job, row in zip(jobs, rows, strict=True) if row[-1]]  # `is_late`
        ended_at = None
        if jobs and jobs[-1].id is None:  # a row without an id says where the walk ended before its time
            marker = jobs.pop()
            ended_at = marker.priority, marker.lane or ""
        if jobs:
            self._intake.reload_pauses(cursor)
        return LaneClaim(jobs, late, ended_at)

    def record(self, claim: LaneClaim, wanted: int, began: float) -> int:
        """Hand on the jobs that got their turn, now that it is committed, and return their number."""
        given = [(job.priority, job.lane or "") for job in claim.jobs]
        self.rotation.record_claim(given, wanted, began, time.monotonic(), ended_at=claim.ended_at)
        if claim.jobs:
            late = set(claim.late)
            jobs = self._intake.record(sorted(claim.jobs, key=_ORDER))
            self._intake.put([job for job in jobs if job not in late])
            for job in jobs:
                if job in late:
                    self._intake.end(job, Cancelled(EXPIRED))
        return len(claim.jobs)

    def _expire(self, cursor: Any) -> None:
        """Cancel waiting jobs that have expired: they must not take the turns of others."""
        cursor.execute(statement("expire_waiting"), {"queue": self._queue, "reason": EXPIRED})
        expired = [EndedJob(*row) for row in cursor.fetchall()]
        if expired:
            log.info("queue %s: cancelled %d jobs that had expired", self._queue, len(expired))
            release_dependents(cursor, [job for job in expired if job.awaited], completed=False)
