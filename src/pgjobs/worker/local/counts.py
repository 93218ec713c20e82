"""What a worker process has done since its start, for metrics and for the minutes: plain arrays that are counted up.

Where metrics are served, each job is timed. Otherwise outcomes are counted by batches, and one job of each batch is
timed, which costs a tenth of it. Each array has one writer: the acknowledger, or the producer of a queue. The main
thread reads them, and may see a batch half counted: the next look has the rest.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pgjobs.jobs.outcome import Cancelled, Completed, Failed, Outcome, Retried, Snoozed
from pgjobs.telemetry.metrics import BUCKETS, MAX_TASKS, OTHER, QUICK_BUCKETS

if TYPE_CHECKING:
    from pgjobs.worker.local.claimed_job import ClaimedJob
    from pgjobs.worker.local.local_queue import Ended, LocalQueue

# An array: how many values are in each bucket, the last of which has no bound; their sum; and for a task its outcomes.
SUM = len(BUCKETS) + 1
COMPLETED, FAILED, CANCELLED, RETRIED = range(SUM + 1, SUM + 5)
OUTCOMES = {"completed": COMPLETED, "failed": FAILED, "cancelled": CANCELLED}
MAX_ARRAYS = 2 * MAX_TASKS  # of tasks, in all queues
_PLACES: dict[type[Outcome], int | None] = {
    Completed: COMPLETED,
    Failed: FAILED,
    Cancelled: CANCELLED,
    Retried: RETRIED,
    Snoozed: None,  # it ran, and has not ended
}


class Counts:
    """The counts of one process. `every_job`: how long each of them runs and waits; else one of each batch."""

    def __init__(self, *, every_job: bool = True) -> None:
        self._every_job = every_job
        self._busy: dict[str, list[float]] = {}  # of queues that were not idle: busy slots times seconds
        self._shared_at = time.monotonic()
        self._tasks: dict[tuple[str, str], list[float]] = {}
        self._waits: dict[str, list[float]] = {}
        self._claims: dict[str, list[float]] = {}
        self._acknowledged: list[float] = quick()

    def completed(self, batch: Iterable[Ended], held: list[Ended], lost: set[int]) -> None:
        """Count jobs that completed. `held`, `lost`: those, and ids, whose outcomes were not written."""
        if held or lost:
            excluded = {job.key() for job, _, _ in held}
            batch = [ended for ended in batch if ended[0].id not in lost and ended[0].key() not in excluded]
        self._count(batch, COMPLETED)

    def settled(self, outcomes: Iterable[tuple[ClaimedJob, Outcome | None, float | None]]) -> None:
        """Count jobs that ended otherwise, or are to run again. None: that was not written."""
        by_place: dict[int | None, list[Ended]] = {}
        for job, outcome, seconds in outcomes:
            if outcome is not None and type(outcome) in _PLACES:
                by_place.setdefault(_PLACES[type(outcome)], []).append((job, outcome, seconds))
        for place, batch in by_place.items():
            self._count(batch, place)

    def claimed(self, queue: str, seconds: float) -> None:
        """Count a claim of a queue. Called by its producer."""
        if not self._every_job:
            return
        array = self._claims.get(queue)
        if array is None:
            array = self._claims[queue] = quick()
        observe(array, QUICK_BUCKETS, seconds)

    def acknowledged(self, seconds: float) -> None:
        """Count the writing of a batch of outcomes."""
        observe(self._acknowledged, QUICK_BUCKETS, seconds)

    def snapshot(self, queues: Iterable[LocalQueue]) -> dict[str, Any]:
        """Return all of it as JSON has it, with the slots of the queues and how many of them are busy."""
        tasks: dict[str, dict[str, list[float]]] = {}
        for (queue, task), array in self._tasks.copy().items():
            tasks.setdefault(queue, {})[task] = array
        slots, now = {}, time.monotonic()
        since, self._shared_at = now - self._shared_at, now
        for local_queue in queues:
            busy = min(local_queue.slots, max(0, local_queue.calls() - len(local_queue.inbox.jobs)))
            if busy:
                self._busy.setdefault(local_queue.name, [0.0])[0] += busy * since
            if self._every_job or local_queue.name in self._busy:  # a pattern may have a thousand idle queues
                slots[local_queue.name] = [local_queue.slots, busy]
        return {
            "tasks": tasks,
            "waits": self._waits.copy(),
            "claims": self._claims.copy(),
            "acknowledged": {"": self._acknowledged},
            "slots": slots,
            "busy": self._busy,
        }

    def _count(self, batch: Iterable[Ended], place: int | None) -> None:
        """Count jobs with one outcome."""
        if self._every_job:
            self._count_each(batch, place)
            return
        batch = list(batch)
        if place is not None:
            numbers: dict[tuple[str, str], int] = {}
            for job, _, _ in batch:
                key = job.queue, job.task
                numbers[key] = numbers.get(key, 0) + 1
            for (queue, task), number in numbers.items():
                self._arrays(queue, task)[0][place] += number
        if batch:
            self._count_each([batch[len(batch) // 2]], None)

    def _count_each(self, batch: Iterable[Ended], place: int | None) -> None:
        """Count jobs one by one, and how long they ran. Those of one task come one after another as a rule."""
        now, queue, task = time.time(), None, None
        array: list[float] = []
        waits: list[float] = []
        for job, _, seconds in batch:
            if job.task != task or job.queue != queue:
                task, queue = job.task, job.queue
                array, waits = self._arrays(queue, task)
            if place is not None:
                array[place] += 1
            if seconds is not None:
                array[bisect_left(BUCKETS, seconds)] += 1
                array[SUM] += seconds
                waited = now - seconds - job.run_at.timestamp()
                if waited < 0:  # the clocks differ a little
                    waited = 0.0
                waits[bisect_left(BUCKETS, waited)] += 1
                waits[SUM] += waited

    def _arrays(self, queue: str, task: str) -> tuple[list[float], list[float]]:
        array = self._tasks.get((queue, task))
        if array is None:
            key = (queue, task if len(self._tasks) < MAX_ARRAYS else OTHER)
            array = self._tasks.setdefault(key, [0] * (RETRIED + 1))
        waits = self._waits.get(queue)
        if waits is None:
            waits = self._waits.setdefault(queue, [0] * (SUM + 1))
        return array, waits


def quick() -> list[float]:
    """Return an array for statements: buckets and a sum."""
    return [0] * (len(QUICK_BUCKETS) + 2)


def observe(array: list[float], bounds: tuple[float, ...], value: float) -> None:
    """Count a value, in an array that has its sum last."""
    array[bisect_left(bounds, value)] += 1
    array[-1] += value
