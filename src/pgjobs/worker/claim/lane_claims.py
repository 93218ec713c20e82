"""Claims of jobs that wait for their turn in a lane.

A claim is two statements in one transaction: the first finds lanes with room and locks the keys that their jobs share,
the second looks again, now that no other claim can, and claims. What another claim has locked is left for the next
time, so no claim waits for another one.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from pgjobs.db.dependencies import EndedJob, release_dependents
from pgjobs.db.encoding import byte_order, encoding_of
from pgjobs.db.statements import statement
from pgjobs.db.workflow_counts import tell_workflows
from pgjobs.flow.batch import MAX_SIZE, BatchSpec
from pgjobs.jobs.outcome import Cancelled
from pgjobs.worker.claim.arrivals import Arrivals
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.claim.lane_rotation import BlockedLanes, LanePlan, LaneRotation
from pgjobs.worker.claim.stage_rooms import STAGE, Rooms, StageRooms
from pgjobs.worker.local.claimed_batch import ClaimedBatch, batches_of
from pgjobs.worker.local.claimed_job import CONTROLLED_COLUMNS, ClaimedJob, check_columns
from pgjobs.worker.local.demand import MAX_BATCH
from pgjobs.worker.runtime.settle import array

log = logging.getLogger("pgjobs.producer")
EXPIRED = "expired before its turn came"
RELEASE_EVERY = 0.05  # seconds between two looks for jobs that are due or have expired, while claims follow each other
_ORDER = attrgetter("priority", "run_at", "id")
_IN_LANES = itemgetter(*map(CONTROLLED_COLUMNS.index, ("priority", "lane", "run_at", "id")))  # of rows


class Lane(NamedTuple):
    """A lane that had room and a due job, as pick_lanes.sql returns it."""

    priority: int
    lane: str
    due: datetime | None
    limit_key: str | None
    sequence: str | None
    breaker: str | None
    cost: float | None
    is_limited: bool | None
    is_probing: bool | None
    is_locked: bool | None  # None: not a lane, but where the walk ended early
    missing: list[str] | None


class LaneClaim(NamedTuple):
    """Jobs that got their turn.

    `late`: those of them that have expired; `ended_at`: where the walk stopped early; `missing`: keys that cannot be
    locked before they have a row; `again`: lanes (each with its priority) whose keys could not be locked; `blocked`:
    runs of lanes without room; `asked` and `picked`: how many lanes were wanted, and found.
    """

    jobs: list[ClaimedJob]
    late: list[ClaimedJob]
    ended_at: tuple[int, str] | None
    missing: set[str]
    again: list[tuple[int, str]]
    blocked: list[BlockedLanes]
    asked: int
    picked: int

    @property
    def rows(self) -> int:
        """How many jobs these are, if those of a batch are counted one by one."""
        return sum(len(job.members) for job in self.jobs)


def claim_lanes(cursor: Any, lanes: list[Lane], values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Claim jobs of lanes whose keys this transaction has locked, and return their rows."""
    if not lanes:
        return []
    picked = {
        "priorities": array(lane.priority for lane in lanes),
        "lanes": [lane.lane for lane in lanes],
        "dues": [lane.due for lane in lanes],
        "limit_keys": [lane.limit_key for lane in lanes],
        "sequences": [lane.sequence for lane in lanes],
        "breakers": [lane.breaker for lane in lanes],
        "costs": [lane.cost for lane in lanes],
        "limited": [lane.is_limited for lane in lanes],
        "probing": [lane.is_probing for lane in lanes],
    }
    return list(cursor.execute(statement("claim_waiting"), {**picked, **values}).fetchall())


def claim_batches(cursor: Any, lanes: list[Lane], values: dict[str, Any], wanted: int) -> list[tuple[Any, ...]]:
    """Claim the jobs of up to `wanted` batches of these lanes, and return their rows. It is not many rows at once."""
    specs = [(lane, spec) for lane in lanes[:wanted] if (spec := BatchSpec.of_lane(lane.lane)) is not None]
    taken: list[tuple[Lane, BatchSpec]] = []
    rows = 0
    for lane, spec in specs:
        if taken and rows + spec.size > MAX_BATCH:
            break
        taken.append((lane, spec))
        rows += spec.size
    if not taken:
        return []
    each = max(1, min(wanted, MAX_BATCH // max(spec.size for _, spec in taken)) // len(taken))
    picked = {
        "priorities": array(lane.priority for lane, _ in taken),
        "lanes": [lane.lane for lane, _ in taken],
        "dues": [lane.due for lane, _ in taken],
        "sizes": array(spec.size for _, spec in taken),
        "waits": array(spec.wait for _, spec in taken),
        "mosts": [spec.max_bytes for _, spec in taken],
        "batches": array(each if spec.max_bytes is None else 1 for _, spec in taken),
    }
    return list(cursor.execute(statement("claim_batches"), {**picked, **values}).fetchall())


def _ranges(plan: LanePlan) -> dict[str, Any]:
    return {
        "priorities": array(lane_range.priority for lane_range in plan.ranges),
        "sinces": [lane_range.since for lane_range in plan.ranges],
        "untils": [lane_range.until for lane_range in plan.ranges],
    }


def _in_batches(jobs: list[ClaimedJob], late: list[ClaimedJob]) -> list[ClaimedJob]:
    """Return the batches of claimed jobs, which come in their order. Those that have expired stay outside."""
    if late:
        expired = set(late)
        jobs = [job for job in jobs if job not in expired]
    return [*batches_of(jobs), *late]


class LaneClaims:
    """Claims the waiting jobs of one queue whose turn it is. For one thread."""

    def __init__(self, queue: str, intake: Intake, worker_id: int) -> None:
        self._queue = queue
        self._intake = intake
        self._worker_id = worker_id
        self.rotation = LaneRotation()
        self._columns_checked = False  # on this connection
        self._order_known = False  # the same
        self._next_release = 0.0
        self._arrivals = Arrivals()
        self._stages = StageRooms()
        self._batches_next = False  # where there is one slot, and both kinds wait

    def reconnected(self) -> None:
        """Discard what another connection, or another server, has said."""
        self.rotation.next_check = 0.0
        self.rotation.runs.clear()
        self._columns_checked = self._order_known = False

    def claim_rows(
        self, cursor: Any, wanted: int, worst: int, clock: datetime, counted_queue: str | None = None
    ) -> LaneClaim:
        """Claim up to `wanted` jobs of priorities up to `worst`. `counted_queue`: the queue, if it has a limit."""
        if not self._order_known:
            self._order_known = True
            self.rotation.runs.order = byte_order(encoding_of(cursor.connection))
        now = time.monotonic()
        if now >= self._next_release:
            self._next_release = now + RELEASE_EVERY
            cursor.execute(statement("release_due_waiting"), {"queue": self._queue})
            self.rotation.wake_now(cursor.fetchall())
            self._expire(cursor)
        rooms = self._stages.look(cursor, now)
        plan = self.rotation.plan_claim(wanted, worst, clock, self._look_at_runs(cursor, now, rooms))
        cursor.execute(
            statement("pick_lanes"),
            {
                **_ranges(plan),
                "dues": [lane_range.due for lane_range in plan.ranges],
                "most": plan.most,
                "queue": self._queue,
                "demand": plan.lanes,
                "counted_queue": counted_queue,
                "in_haste": self._intake.in_haste,
                "full": rooms.full,
            },
        )
        picked = [Lane(*row) for row in cursor.fetchall()]
        ended_at: tuple[int, str] | None = None
        blocked: list[BlockedLanes] = []
        if picked and picked[-1].is_locked is None:
            end = picked.pop()
            ended_at = end.priority, end.lane
        if ended_at is not None or (plan.is_rest and len(picked) < plan.lanes):
            blocked = self._blocked_lanes(cursor, plan, rooms.full)
        single: list[Lane] = []
        batched: list[Lane] = []
        for lane in picked:
            if lane.is_locked:
                (single if BatchSpec.of_lane(lane.lane) is None else batched).append(lane)
        common = {"queue": self._queue, "worker_id": self._worker_id, "counted_queue": counted_queue}
        for_batches = self._share_of_batches(wanted, len(batched), len(single))
        batch_rows: list[tuple[Any, ...]] = []
        rows: list[tuple[Any, ...]] = []
        left = wanted - for_batches
        for stage, some in self._stages.by_stage(cursor, single, rooms, now):
            demand = rooms.most(stage, left)
            if demand > 0:
                found = claim_lanes(cursor, some, {"quantum": plan.quantum, "demand": demand, **common})
                rooms.take(stage, len(found))
                rows += found
                left -= len(found)
        if for_batches:
            batch_values = {"in_haste": self._intake.in_haste, "room": wanted if counted_queue else MAX_SIZE, **common}
            batch_rows = claim_batches(cursor, batched, batch_values, 1 if counted_queue else for_batches)
        if (rows or batch_rows) and not self._columns_checked:
            check_columns(cursor.description, CONTROLLED_COLUMNS)
            self._columns_checked = True
        jobs, late = self._made_of(rows)
        if batch_rows:
            batch_rows.sort(key=_IN_LANES)
            together, expired = self._made_of(batch_rows)
            jobs += _in_batches(together, expired)
            late += expired
        if jobs:
            self._intake.reload_pauses(cursor)
        missing = {key for lane in picked for key in lane.missing or ()}
        again = [(lane.priority, lane.lane) for lane in picked if not lane.is_locked]
        return LaneClaim(jobs, late, ended_at, missing, again, blocked, plan.lanes, len(picked))

    def record(self, claim: LaneClaim, wanted: int, began: float) -> int:
        """Hand on the jobs that got their turn, now that it is committed, and return their number."""
        given = [(job.priority, job.lane or "") for job in claim.jobs]
        self.rotation.record_lanes(claim.asked, claim.picked, len(set(given)), enough=len(given) >= wanted)
        self.rotation.record_claim(
            given, wanted, began, time.monotonic(), ended_at=claim.ended_at, blocked=claim.blocked
        )
        if claim.again:
            self.rotation.wake_now(claim.again)
            self.rotation.empty_since = 0.0  # they have room
            if not claim.missing and not claim.jobs:
                self.rotation.back_off(time.monotonic())  # another claim has their keys
        if claim.jobs:
            late = set(claim.late)
            claimed = sorted(claim.jobs, key=_ORDER)
            batches = [job for job in claimed if isinstance(job, ClaimedBatch)]
            if batches:
                claimed = [job for job in claimed if not isinstance(job, ClaimedBatch)]
            jobs = self._intake.record(claimed) if claimed else []
            if batches:
                jobs += self._intake.record_batches(batches)
            self._intake.put([job for job in jobs if job not in late])
            for job in jobs:
                if job in late:
                    self._intake.end(job, Cancelled(EXPIRED))
        return len(claim.jobs)

    def _made_of(self, rows: list[tuple[Any, ...]]) -> tuple[list[ClaimedJob], list[ClaimedJob]]:
        """Return the jobs of these rows, and which of them have expired."""
        jobs = self._intake.rows_to_jobs(row[:-1] for row in rows)
        return jobs, [job for job, row in zip(jobs, rows, strict=True) if row[-1]]  # `is_late`

    def _share_of_batches(self, wanted: int, batched: int, single: int) -> int:
        """Return how many of the wanted jobs may be batches. Both kinds get their share; a single slot alternates."""
        if not batched or not single:
            return wanted if batched else 0
        self._batches_next = not self._batches_next
        share = wanted * batched // (batched + single)
        return min(max(share, 1), wanted - 1) if wanted > 1 else int(self._batches_next)

    def _blocked_lanes(self, cursor: Any, plan: LanePlan, full: list[str]) -> list[BlockedLanes]:
        """Find runs of lanes without room in what a claim has looked at in vain."""
        values = {**_ranges(plan), "most": plan.most, "queue": self._queue, "full": full}
        rows = cursor.execute(statement("blocked_lanes"), values)
        return [BlockedLanes(*row) for row in rows]

    def _look_at_runs(self, cursor: Any, now: float, rooms: Rooms) -> list[str]:
        """While runs of lanes are left out: find lanes with new jobs, and return the keys that have room again."""
        rotation = self.rotation
        costs = rotation.runs.keys(now)
        if not rotation.runs:
            self._arrivals.clear()
            return []
        rows = cursor.execute(statement("new_lanes"), {"queue": self._queue, "after": self._arrivals.after}).fetchall()
        rotation.wake_now(self._arrivals.fresh(rows, now))
        stages = [key for key in costs if key.startswith(STAGE)]
        open_stages = [key for key in stages if key.removeprefix(STAGE) not in rooms.full]
        others = {key: cost for key, cost in costs.items() if not key.startswith(STAGE)}
        if not others:
            return open_stages
        keys = {"keys": list(others), "costs": list(others.values())}
        return [row[0] for row in cursor.execute(statement("keys_with_room"), keys)] + open_stages

    def _expire(self, cursor: Any) -> None:
        """Cancel waiting jobs that have expired: they must not take the turns of others."""
        cursor.execute(statement("expire_waiting"), {"queue": self._queue, "reason": EXPIRED})
        expired = [EndedJob(*row) for row in cursor.fetchall()]
        if expired:
            log.info("queue %s: cancelled %d jobs that had expired", self._queue, len(expired))
            awaited = [job for job in expired if job.awaited]
            tell_workflows(cursor, release_dependents(cursor, awaited, completed=False, patient=False))
