"""Claims of plain jobs: those that need not wait for their turn. One statement claims a batch."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

from pgjobs.db.statements import statement
from pgjobs.worker.claim.cursor import EPOCH, PRIORITIES, ClaimCursor, Place, ScanRange
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.local.claimed_job import COLUMNS, ClaimedJob, check_columns
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection
from pgjobs.worker.runtime.settle import array

CLOCK_EVERY = 30.0  # seconds
_SMALLINTS = array(PRIORITIES)
_ROW_ORDER = itemgetter(*map(COLUMNS.index, ("priority", "run_at", "id")))  # of rows, which are quicker to sort


class PlainClaim(NamedTuple):
    """A claim as it was made. `jobs` are sorted, but without regard to aging."""

    jobs: list[ClaimedJob]
    wanted: int
    began: float
    clock: datetime
    scan: ScanRange


class PlainClaims:
    """Claims the plain jobs of one queue. For one thread."""

    def __init__(self, queue: str, intake: Intake, worker_id: int) -> None:
        self._queue = queue
        self._intake = intake
        self._worker_id = worker_id
        self.cursor = ClaimCursor()
        self.worst_priority = PRIORITIES[-1]  # that the last claim took, if it was full; else the worst that there is
        self._columns_checked = False  # on this connection
        self._clock_zero = EPOCH  # PostgreSQL's time when the monotonic clock was 0
        self._ask_clock_at = 0.0  # monotonic seconds

    def reconnected(self) -> None:
        """Discard what another connection, or another server, has said."""
        self._ask_clock_at = 0.0
        self._columns_checked = False

    def clock(self) -> datetime:
        """Return PostgreSQL's time as far as the last answer tells, without asking."""
        return self._clock_zero + timedelta(seconds=time.monotonic())

    def claim_rows(
        self, server: ReconnectingConnection, cursor: Any, wanted: int, counted_queue: str | None = None
    ) -> PlainClaim:
        """Claim up to `wanted` jobs. `counted_queue`: the queue, if it has a limit that counts them."""
        began = time.monotonic()
        clock = self._fresh_clock(server, began)
        scan = self.cursor.start(began, clock)
        cursor.execute(
            statement("claim"),
            {
                "priorities": _SMALLINTS if scan.order is None else array(scan.priorities),
                "run_ats": [place[0] for place in scan.places],
                "ids": array(place[1] for place in scan.places),
                "untils": scan.untils,
                "queue": self._queue,
                "demand": wanted,
                "worker_id": self._worker_id,
                "counted_queue": counted_queue,
            },
        )
        if not self._columns_checked:
            check_columns(cursor.description, COLUMNS)
            self._columns_checked = True
        rows = cursor.fetchall()
        rows.sort(key=_ROW_ORDER)
        jobs = self._intake.rows_to_jobs(rows)
        if jobs:
            self._intake.reload_pauses(cursor)
        return PlainClaim(jobs, wanted, began, clock, scan)

    def record(self, claim: PlainClaim) -> int:
        """Hand on the claimed jobs, now that the claim is committed, and return their number."""
        jobs, wanted, began, clock, scan = claim
        now = time.monotonic()
        last: dict[int, Place] = {}
        if jobs:
            order = scan.order
            if order is not None:
                jobs.sort(key=lambda job: (order.position(job.priority, job.run_at), job.run_at, job.id))
            one_priority = order is None and jobs[0].priority == jobs[-1].priority
            for job in jobs[-1:] if one_priority else jobs:
                last[job.priority] = (job.run_at, job.id)
            self._intake.put(self._intake.record(jobs))
        full = len(jobs) >= wanted
        self.cursor.claimed(last, full=full, began=began, now=now, clock=clock)
        self.worst_priority = max(last) if full and last else PRIORITIES[-1]
        return len(jobs)

    def _fresh_clock(self, server: ReconnectingConnection, now: float) -> datetime:
        """Return PostgreSQL's time, estimated from the last answer: asking with every claim would cost a round trip."""
        if now >= self._ask_clock_at:
            row = server.cursor.execute(statement("transaction_clock")).fetchone()
            assert row is not None  # noqa: S101 (for mypy)
            now = time.monotonic()  # after the answer: then we are late, if anything, and look back further
            self._clock_zero = row[0] - timedelta(seconds=now)
            self._ask_clock_at = now + CLOCK_EVERY
        return self._clock_zero + timedelta(seconds=now)
